//! Parameters of a stage: a table of values that becomes a typed struct, with every mistake found.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// One thing that is wrong with a stage's parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamError {
    /// The parameter, as a dotted path; empty when the stage as a whole is wrong.
    pub key: String,
    /// What is wrong, as a fragment: "unknown parameter", "must be at least 1".
    pub message: String,
    /// Names that would have been right, when the key is unknown.
    pub known: Vec<String>,
}

impl ParamError {
    /// A parameter whose value is wrong.
    pub fn new(key: &str, message: impl Into<String>) -> Self {
        Self { key: key.to_owned(), message: message.into(), known: Vec::new() }
    }
}

/// The parameters of one stage as they stand in the pipeline, defaults not yet filled in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params(pub Map<String, Value>);

impl Params {
    /// Reads the parameters into a struct, which should `deny_unknown_fields` and give defaults.
    ///
    /// # Errors
    /// All that is wrong, not only the first: unknown keys, wrong types, missing values.
    pub fn parse<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, Vec<ParamError>> {
        let known = property_names::<T>();
        let (mut values, mut errors) = (self.0.clone(), Vec::new());
        values.retain(|key, _| {
            let is_known = known.contains(key);
            if !is_known {
                errors.push(ParamError {
                    key: key.clone(),
                    message: "unknown parameter".to_owned(),
                    known: known.clone(),
                });
            }
            is_known
        });
        self.read(values, errors)
    }

    /// serde stops at the first wrong value; setting it aside and reading again finds the next.
    fn read<T: DeserializeOwned>(
        &self,
        mut values: Map<String, Value>,
        mut errors: Vec<ParamError>,
    ) -> Result<T, Vec<ParamError>> {
        loop {
            let error = match serde_path_to_error::deserialize(Value::Object(values.clone())) {
                Ok(typed) if errors.is_empty() => return Ok(typed),
                Ok(_) => return Err(errors),
                Err(error) => error,
            };
            let path = error.path().to_string();
            let key = path.split(['.', '[']).next().unwrap_or_default().to_owned();
            let set_aside = values.remove(&key).is_some();
            let is_echo = !set_aside && errors.iter().any(|e| !e.key.is_empty());
            if !is_echo {
                let key = if set_aside { path } else { String::new() };
                errors.push(ParamError::new(&key, error.into_inner().to_string()));
            }
            if !set_aside {
                return Err(errors);
            }
        }
    }
}

/// Names of the parameters of `T`, sorted.
fn property_names<T: JsonSchema>() -> Vec<String> {
    let schema = schemars::schema_for!(T);
    let mut names: Vec<String> = schema
        .get("properties")
        .and_then(Value::as_object)
        .map(|properties| properties.keys().cloned().collect())
        .unwrap_or_default();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        size: u32,
        #[serde(default)]
        name: String,
    }

    fn parse(json: &str) -> Result<Sample, Vec<ParamError>> {
        Params(serde_json::from_str(json).expect("json")).parse()
    }

    #[test]
    fn good_values_are_read() {
        assert_eq!(parse(r#"{"size": 3}"#), Ok(Sample { size: 3, name: String::new() }));
    }

    #[test]
    fn every_mistake_is_found() {
        let errors = parse(r#"{"size": "x", "name": 4, "siez": 3}"#).expect_err("three mistakes");
        let keys: Vec<_> = errors.iter().map(|e| e.key.as_str()).collect();
        assert_eq!(keys, ["siez", "size", "name"]);
        assert_eq!(errors[0].known, ["name", "size"]);
    }

    #[test]
    fn a_missing_value_is_named() {
        let errors = parse("{}").expect_err("size is missing");
        assert_eq!(errors[0].message, "missing field `size`");
    }
}
