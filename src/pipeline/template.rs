//! Text with references in it: `${name}`, `${env:NAME}`, `${env:NAME:-default}`.

use serde_json::Value;

/// Replaces the references in `text`. Text that is exactly one reference takes the type of what it
/// refers to; elsewhere the value is spliced in as text. `$${` stands for `${` itself.
///
/// # Errors
/// What `lookup` says of each reference, and each `${` without its `}`.
pub fn expand(
    text: &str,
    mut lookup: impl FnMut(&str) -> Result<Value, Fault>,
) -> Result<Value, Vec<Fault>> {
    if let Some(name) = sole_reference(text) {
        return lookup(name).map_err(|fault| vec![fault]);
    }
    let (mut out, mut faults, mut rest) = (String::new(), Vec::new(), text);
    while let Some(at) = rest.find("${") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        if let Some(escaped) = before.strip_suffix('$') {
            out.push_str(escaped);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let Some(end) = after.find('}') else {
            faults.push(Fault::new("`${` without its `}`"));
            break;
        };
        match lookup(&after[..end]) {
            Ok(value) => out.push_str(&as_text(&value)),
            Err(fault) => faults.push(fault),
        }
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    if faults.is_empty() { Ok(Value::from(out)) } else { Err(faults) }
}

/// Why a reference has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub message: String,
    /// What would be right, one line each.
    pub help: Vec<String>,
}

impl Fault {
    /// A fault without help.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: Vec::new() }
    }

    /// A fault with one line of help.
    pub fn with_help(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: vec![help.into()] }
    }
}

/// The value of `NAME` or `NAME:-default` in the environment of the process.
///
/// # Errors
/// When the variable is not set and there is no default.
#[expect(clippy::disallowed_methods, reason = "a pipeline may ask for a variable by name")]
pub fn environment(reference: &str) -> Result<Value, Fault> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    value.or_else(|| default.map(str::to_owned)).map(Value::from).ok_or_else(|| {
        Fault::with_help(
            format!("environment variable `{name}` is not set"),
            format!("set it, or give a default: `${{env:{name}:-value}}`"),
        )
    })
}

fn sole_reference(text: &str) -> Option<&str> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    (!name.contains('}') && !name.contains("${")).then_some(name)
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lookup(name: &str) -> Result<Value, Fault> {
        match name {
            "count" => Ok(json!(3)),
            "root" => Ok(json!("/data")),
            _ => Err(Fault::new(format!("no {name}"))),
        }
    }

    #[test]
    fn a_sole_reference_keeps_its_type_and_others_are_spliced() {
        assert_eq!(expand("${count}", lookup), Ok(json!(3)));
        assert_eq!(expand("${root}/x-${count}", lookup), Ok(json!("/data/x-3")));
        assert_eq!(expand("$${count} plain", lookup), Ok(json!("${count} plain")));
        assert_eq!(expand("plain", lookup), Ok(json!("plain")));
    }

    #[test]
    fn every_bad_reference_is_told() {
        let faults = expand("${a}/${b}/${c", lookup).expect_err("three");
        assert_eq!(faults.len(), 3);
    }

    #[test]
    fn variables_may_have_defaults() {
        assert_eq!(environment("VOXFLOW_SURELY_UNSET:-x"), Ok(json!("x")));
        assert!(environment("VOXFLOW_SURELY_UNSET").is_err());
    }
}
