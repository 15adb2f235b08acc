//! `exec` with programs that every Unix has: what they give is taken, what they break is told.
#![cfg(unix)]

use voxflow_contract::{
    Batch, BuildContext, Kind, Operator, Params, Refusals, Stage, Values, tables,
};

use crate::exec::ExecKind;
use crate::operator::Exec;
use crate::process::Passes;

fn params(script: &str, more: &[(&str, serde_json::Value)]) -> Params {
    let mut values = serde_json::Map::new();
    values.insert("program".to_owned(), "sh".into());
    let arguments = ["-c", script, "sh", "{in}", "{out}"];
    values.insert("arguments".to_owned(), arguments.map(serde_json::Value::from).to_vec().into());
    values.insert("gives".to_owned(), "points".into());
    values.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    Params(values)
}

fn exec(script: &str, more: &[(&str, serde_json::Value)]) -> std::sync::Arc<dyn Operator> {
    let context = BuildContext { seed: 0, stage: "x".to_owned() };
    match ExecKind.build(&params(script, more), &context) {
        Ok(Stage::Operator(operator)) => operator,
        Ok(_) => panic!("exec is an operator"),
        Err(errors) => panic!("{errors:?}"),
    }
}

/// A table of points, three a sample.
fn points(samples: &[&str]) -> Batch {
    let rows = samples.len();
    let lists = |numbers: Vec<f32>| vec![numbers; rows];
    let corners = lists(vec![0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    let schema = tables::points();
    let values = schema.columns().iter().map(|column| match column.name.as_str() {
        "sample" => Values::utf8(samples),
        "category" => Values::utf8(vec!["c"; rows]),
        "content" => Values::fixed_binary(32, vec![[7u8; 32]; rows]),
        _ => values_of(&column.column_type, &corners),
    });
    let values: Vec<Values> = values.collect();
    Batch::new(tables::points(), values).expect("a table of points")
}

fn values_of(column: &voxflow_contract::ColumnType, corners: &[Vec<f32>]) -> Values {
    use voxflow_contract::{ColumnType as T, ScalarType as S};
    match column {
        T::List(S::Float32) => Values::lists(corners.to_vec()),
        other => panic!("points has a column that this test does not know: {other}"),
    }
}

fn apply(operator: &dyn Operator, rows: &Batch) -> (Result<Batch, String>, Vec<(usize, String)>) {
    let mut refusals = Refusals::default();
    let given = operator.apply(rows, &mut refusals);
    let refused = refusals.into_rows().into_iter();
    let refused = refused.map(|(row, fault)| (row, format!("{}: {}", fault.code, fault.message)));
    let given = given.map_err(|fault| format!("{}: {}", fault.code, fault.message));
    (given, refused.collect())
}

#[test]
fn what_a_program_gives_is_taken() {
    let rows = points(&["a", "b"]);
    let (given, refused) = apply(exec("cp \"$1\" \"$2\"", &[]).as_ref(), &rows);
    assert_eq!((given, refused), (Ok(rows.clone()), vec![]));
    let limited = exec("cp \"$1\" \"$2\"", &[("memory_mib", 512.into())]);
    assert_eq!(apply(limited.as_ref(), &rows), (Ok(rows), vec![]));
}

#[test]
fn streams_go_in_and_come_out() {
    let arrow = |script: &str| {
        let arguments = ["-c", script].map(serde_json::Value::from).to_vec();
        exec("", &[("passes", "arrow".into()), ("arguments", arguments.into())])
    };
    let rows = points(&["a", "b"]);
    assert_eq!(apply(arrow("cat").as_ref(), &rows), (Ok(rows.clone()), vec![]));
    let (given, refused) = apply(arrow("head -c 500").as_ref(), &rows);
    assert_eq!(given, Ok(points(&[])));
    assert_eq!(refused.len(), 2);
    assert!(refused.iter().all(|(_, why)| why.starts_with("program_output: ")), "{refused:?}");
    let silent = apply(arrow("cat >/dev/null").as_ref(), &points(&["a"])).0.expect_err("nothing");
    assert!(silent.starts_with("program_output: ") && silent.ends_with("it is empty"), "{silent}");
    let context = BuildContext { seed: 0, stage: "x".to_owned() };
    let errors = ExecKind.build(&params("cat", &[("passes", "arrow".into())]), &context).err();
    let errors = errors.expect("it names files");
    assert!(errors[0].key == "arguments" && errors[0].message.contains("no files"), "{errors:?}");
}

#[test]
fn one_bad_sample_costs_itself_only() {
    // The least sample stands in the file's statistics as plain text.
    let script = "if grep -q bad \"$1\"; then echo no good >&2; exit 3; fi; cp \"$1\" \"$2\"";
    let (given, refused) = apply(exec(script, &[]).as_ref(), &points(&["bad", "good", "so-so"]));
    assert_eq!(given, Ok(points(&["good", "so-so"])));
    let [(0, message)] = refused.as_slice() else { panic!("{refused:?}") };
    assert!(message.starts_with("program_failed: ") && message.ends_with(": no good"), "{message}");
    assert!(message.contains('3'), "{message}");
}

#[test]
fn a_program_that_fails_is_started_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let flag = folder.path().join("tried");
    let script =
        format!("if mkdir {} 2>/dev/null; then exit 1; fi; cp \"$1\" \"$2\"", flag.display());
    let rows = points(&["a"]);
    let (given, _) = apply(exec(&script, &[]).as_ref(), &rows);
    assert!(given.expect_err("it fails once").starts_with("program_failed"));
    std::fs::remove_dir(&flag).expect("it was made");
    let (given, refused) = apply(exec(&script, &[("retries", 1.into())]).as_ref(), &rows);
    assert_eq!((given, refused), (Ok(rows), vec![]));
}

#[test]
fn what_cannot_be_used_is_told() {
    let rows = points(&["a"]);
    let fails = |script: &str, more: &[(&str, serde_json::Value)]| {
        apply(exec(script, more).as_ref(), &rows).0.expect_err("it fails")
    };
    let late = fails("exec sleep 60", &[("timeout_s", 1.into())]);
    assert!(late.starts_with("time_limit: `sh` took longer than 1 s"), "{late}");
    assert!(fails("true", &[]).starts_with("program_files: the program left no file"));
    assert!(fails("echo rubbish > \"$2\"", &[]).starts_with("program_output: "));
    let other = fails("cp \"$1\" \"$2\"", &[("gives", "mesh".into())]);
    assert!(other.starts_with("program_output: ") && other.contains("vertices"), "{other}");
    let none = exec("true", &[("program", "no-such-program".into())]);
    let none = apply(none.as_ref(), &rows).0.expect_err("there is none");
    assert!(none.starts_with("program_start: cannot start `no-such-program`"), "{none}");
}

#[test]
fn rows_are_put_in_order_and_missing_ones_refused() {
    let asked = points(&["a", "b", "c"]);
    let operator = Exec {
        program: crate::process::Program {
            name: "none".to_owned(),
            arguments: Vec::new(),
            limit: std::time::Duration::from_secs(1),
            memory_mib: None,
            passes: Passes::Parquet,
        },
        output: tables::points(),
        retries: 0,
        bytes_per_row: 0,
    };
    let said = "warming up\nrefuse\tb\tnot a shape\n";
    let given = operator.check(&asked, &points(&["c", "a"]), said).expect("it can be used");
    assert_eq!(given.rows, points(&["a", "c"]));
    let refused: Vec<_> = given.refused.iter().map(|(row, f)| (*row, f.message.as_str())).collect();
    assert_eq!(refused, [(1, "not a shape")]);
    for wrong in [["a", "a"], ["a", "d"]] {
        let fault = operator.check(&asked, &points(&wrong), "").err().expect("it is wrong");
        assert_eq!(fault.code, "program_output", "{wrong:?}");
    }
}

#[test]
fn the_program_and_its_files_count() {
    let more = [("files", vec![serde_json::Value::from("a/script.py")].into())];
    let depends = ExecKind.depends_on(&params("true", &more));
    let keys: Vec<&str> = depends.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["program", "files"]);
    assert!(depends[0].1.is_file(), "{:?}", depends[0].1);
}

#[test]
fn parameters_that_cannot_be_are_all_told() {
    let wrong = [
        ("program", "".into()),
        ("timeout_s", 0.into()),
        ("memory_mib", 1.into()),
        ("resolution", 0.into()),
    ];
    let context = BuildContext { seed: 0, stage: "x".to_owned() };
    let errors = ExecKind.build(&params("true", &wrong), &context).err().expect("errors");
    let keys: Vec<&str> = errors.iter().map(|error| error.key.as_str()).collect();
    assert_eq!(keys, ["program", "resolution", "timeout_s", "memory_mib"]);
}
