//! The copies of configurations beside the catalog.
use super::*;

#[test]
fn configurations_come_back_from_their_copies() {
    let dir = TempDir::new().unwrap();
    let layout = Layout::new(dir.path());
    let env = env();
    assert!(config_copy::read_services(&*env, &layout).unwrap().rows.is_empty());
    let long = "ä".repeat(300);
    let names = ["web", "../../etc", "a.b", "a/b", "A", "", "\"\n# crc32 0", &long, &format!("{long}x"), "weg"];
    for (days, name) in (0..).zip(names) {
        config_copy::write_service(&*env, &layout, name, &config(days)).unwrap();
    }
    config_copy::write_service(&*env, &layout, "web", &ServiceConfig::default()).unwrap();
    config_copy::remove(&*env, &layout, config_copy::CopyKind::Service, "weg").unwrap();
    config_copy::remove(&*env, &layout, config_copy::CopyKind::Service, "never was").unwrap();
    let mut copies = config_copy::read_services(&*env, &layout).unwrap();
    assert!(copies.damaged.is_empty(), "{:?}", copies.damaged);
    copies.rows.sort_by_key(|(_, config)| config.ttl_days);
    let back: Vec<&str> = copies.rows.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(back, names[..9]);
    assert_eq!(copies.rows[0].1, ServiceConfig::default());
    assert_eq!(copies.rows[3].1, config(3));
    let text = fs::read_to_string(layout.config_copy().join("service-web.conf")).unwrap();
    assert!(text.starts_with("name = \"web\"\nalert_on_errors = false\narchive = true\n"), "{text}");
}

#[test]
fn a_damaged_copy_is_reported_and_skipped() {
    let dir = TempDir::new().unwrap();
    let layout = Layout::new(dir.path());
    let env = env();
    config_copy::write_service(&*env, &layout, "web", &config(3)).unwrap();
    config_copy::write_service(&*env, &layout, "api", &config(4)).unwrap();
    let path = layout.config_copy().join("service-web.conf");
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        for bytes in [&bad[..], &good[..at]] {
            fs::write(&path, bytes).unwrap();
            let copies = config_copy::read_services(&*env, &layout).unwrap();
            assert_eq!(copies.rows, [("api".to_string(), config(4))], "byte {at}");
            assert_eq!(copies.damaged[0].0, path);
        }
    }
}
