//! The built component in the real runtime. `quarterdeck plugin test` says which host that is; for plain `cargo test`, have
//! `quarterdeck` on the path, or its path in the variable `QUARTERDECK`.

use quarterdeck_sdk::serde_json::json;
use quarterdeck_sdk::testing::Component;

#[test]
fn the_host_has_nothing_against_the_component() {
    let component = Component::build(env!("CARGO_MANIFEST_DIR")).unwrap().with_config(json!({{config}}));
    component.check().unwrap();
}
