//! Rules that hold for everything a pipeline can name, walked over `ALL`.

use voxflow_contract::{BuildContext, Params, tables};

use crate::ALL;

/// Keys of a stage that are not parameters of what it uses.
const STAGE_KEYS: [&str; 3] = ["id", "use", "from"];

#[test]
fn kinds_are_sorted_unique_and_explained() {
    assert!(ALL.windows(2).all(|pair| pair[0].name() < pair[1].name()));
    for kind in ALL {
        assert!(kind.summary().ends_with('.'), "{}", kind.summary());
        assert!(kind.manual().len() > kind.summary().len());
        assert!(kind.version() >= 1);
        assert!(tables::find(kind.output()).is_some(), "{}", kind.output());
        assert_eq!(kind.parameters().get("type"), Some(&"object".into()));
    }
}

#[test]
fn examples_build() {
    for kind in ALL {
        let pipeline: serde_json::Value = toml::from_str(kind.example()).expect("TOML");
        let mut stage = pipeline["stage"][0].as_object().expect("a stage").clone();
        assert_eq!(stage["use"], kind.name());
        stage.retain(|key, _| !STAGE_KEYS.contains(&key.as_str()));
        let context = BuildContext { seed: 0, stage: "example".to_owned() };
        if let Err(errors) = kind.build(&Params(stage), &context) {
            panic!("the example of {} does not build: {errors:?}", kind.name());
        }
    }
}
