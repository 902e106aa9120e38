//! The API's description, and whether answers are as it says.
use serde_json::Value;
use std::sync::OnceLock;

/// The description.
pub(crate) fn description() -> &'static Value {
    static DESCRIPTION: OnceLock<Value> = OnceLock::new();
    DESCRIPTION.get_or_init(|| serde_json::from_str(include_str!("../src/server/openapi.json")).unwrap())
}

/// Every path, and its methods in capitals.
pub(crate) fn paths() -> impl Iterator<Item = (&'static str, Vec<String>)> {
    let paths = description()["paths"].as_object().unwrap();
    paths.iter().map(|(path, methods)| {
        (path.as_str(), methods.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect())
    })
}

/// Whether a path is of a pattern; the fewer of its parts are variable, the better.
fn variables(pattern: &str, path: &str) -> Option<usize> {
    let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
    let is_like = |(of, part): (&&str, &&str)| of == part || of.starts_with('{') && !part.is_empty();
    let same = pattern.len() == path.len() && pattern.iter().zip(&path).all(is_like);
    same.then(|| pattern.iter().filter(|part| part.starts_with('{')).count())
}

/// The pattern of a path, if it is described.
fn pattern(path: &str) -> Option<&'static str> {
    let path = path.split('?').next().unwrap();
    paths().filter_map(|(of, _)| Some((variables(of, path)?, of))).min().map(|(_, of)| of)
}

/// Fails where an answer has a status that the description does not know of.
pub(crate) fn check(method: &str, path: &str, status: u16) {
    let Some(pattern) = pattern(path) else { return };
    let operation = &description()["paths"][pattern][method.to_lowercase()];
    if operation.is_object() {
        let is_described = operation["responses"].get(status.to_string()).is_some();
        assert!(is_described, "src/server/openapi.json does not say that {method} {pattern} answers {status}");
    }
}

#[test]
fn patterns_are_told_apart() {
    assert_eq!(pattern("/api/v1/logs/services?x=1"), Some("/api/v1/logs/services"));
    assert_eq!(pattern("/api/v1/logs/01-02"), Some("/api/v1/logs/{id}"));
    assert_eq!(pattern("/api/v1/logs/logs/5/full"), Some("/api/v1/logs/logs/{id}/full"));
    assert_eq!((pattern("/api/v1/logs/"), pattern("/nothing")), (None, None));
}

#[test]
#[should_panic(expected = "answers 418")]
fn an_answer_that_is_not_described_is_found() {
    check("GET", "/health", 200);
    check("GET", "/health", 418);
}
