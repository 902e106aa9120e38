//! The API's description against the server that gives it.
use crate::description::{description, paths};
use crate::harness::Server;
use crate::table::TABLE;
use std::collections::{BTreeMap, BTreeSet};

/// What the router is made of: each path with its methods.
fn routes() -> BTreeMap<String, BTreeSet<String>> {
    let mut routes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for route in TABLE {
        let methods = route.methods.iter().map(|method| format!("{method:?}").to_uppercase());
        routes.entry(route.path.to_owned()).or_default().extend(methods);
    }
    routes
}

#[test]
fn every_route_is_described_and_everything_described_is_a_route() {
    let described: BTreeMap<String, BTreeSet<String>> =
        paths().map(|(path, methods)| (path.to_owned(), methods.into_iter().collect())).collect();
    assert!(described.len() > 20);
    assert_eq!(described, routes());
    let server = Server::start();
    for (path, methods) in paths() {
        // No route answers OPTIONS, and who asks so is told what it does answer.
        let answer = server.ask("OPTIONS", &path.replace(['{', '}'], ""));
        assert_eq!(answer.status, 405, "{path}");
        let allowed: BTreeSet<&str> =
            answer.header("allow").unwrap().split(',').filter(|name| *name != "HEAD").collect();
        assert_eq!(allowed, methods.iter().map(String::as_str).collect(), "{path}");
    }
}

#[test]
fn the_description_is_served_and_leads_nowhere_that_is_not_there() {
    let server = Server::start();
    let answer = server.get("/api/v1/openapi.json");
    assert_eq!((answer.status, &answer.json()), (200, description()));
    assert_eq!(server.get_with("/api/v1/openapi.json", &[]).unwrap().status, 401);
    let text = include_str!("../src/server/openapi.json");
    let mut ids = BTreeSet::new();
    for reference in text.split("\"$ref\": \"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(description().pointer(reference).is_some(), "{reference}");
    }
    for operation in description()["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap()) {
        assert!(ids.insert(operation.1["operationId"].as_str().unwrap()), "{}", operation.1);
    }
    for (kind, named) in description()["components"].as_object().unwrap() {
        for name in named.as_object().unwrap().keys().filter(|_| kind != "securitySchemes") {
            assert!(text.contains(&format!("#/components/{kind}/{name}\"")), "nobody refers to {kind}/{name}");
        }
    }
}

#[test]
fn what_needs_no_key_is_described_so() {
    let server = Server::start();
    for (path, methods) in paths().filter(|(_, methods)| methods.contains(&"GET".to_owned())) {
        let is_open = description()["paths"][path]["get"]["security"].as_array().is_some_and(Vec::is_empty);
        let status = server.get_with(&path.replace(['{', '}'], ""), &[]).unwrap().status;
        assert_eq!(status == 401, !is_open, "{path} {methods:?}: {status}");
    }
}
