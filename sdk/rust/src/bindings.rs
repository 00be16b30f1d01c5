//! What wit-bindgen makes of `wit/`. Nothing of it reaches an author: the kinds' modules convert.
//!
//! A module per world, so that a component carries the description of the kinds that it exports and of no other.
//! The types and the imports are generated once, in [`imports`], and shared by all of them.

/// The imports and the shared types.
pub mod imports {
    wit_bindgen::generate!({
        world: "quarterdeck:worlds/imports",
        path: ["../../wit/types", "../../wit/host", "../../wit/plugin", "../../wit/collector", "../../wit/detector",
            "../../wit/scanner-rule", "../../wit/correlator", "../../wit/notifier", "../../wit/deployment-target",
            "../../wit/deployment-strategy", "../../wit/runbook-action", "../../wit/sla-calculator", "../../wit/worlds"],
        generate_all,
        generate_unused_types: true,
    });
}

/// What every component exports.
pub mod plugin {
    wit_bindgen::generate!({
        world: "quarterdeck:worlds/plugin",
        path: ["../../wit/types", "../../wit/host", "../../wit/plugin", "../../wit/collector", "../../wit/detector",
            "../../wit/scanner-rule", "../../wit/correlator", "../../wit/notifier", "../../wit/deployment-target",
            "../../wit/deployment-strategy", "../../wit/runbook-action", "../../wit/sla-calculator", "../../wit/worlds"],
        generate_all,
        pub_export_macro: true,
    });
}

macro_rules! kinds {
    ($($name:ident = $world:literal;)*) => {$(
        /// One kind.
        pub mod $name {
            wit_bindgen::generate!({
                world: $world,
                path: ["../../wit/types", "../../wit/host", "../../wit/plugin", "../../wit/collector",
                    "../../wit/detector", "../../wit/scanner-rule", "../../wit/correlator", "../../wit/notifier",
                    "../../wit/deployment-target", "../../wit/deployment-strategy", "../../wit/runbook-action",
                    "../../wit/sla-calculator", "../../wit/worlds"],
                with: { "quarterdeck:types/types@0.1.0": crate::bindings::imports::quarterdeck::types::types },
                generate_all,
                pub_export_macro: true,
            });
        }
    )*};
}

kinds! {
    collector = "quarterdeck:worlds/collector";
    detector = "quarterdeck:worlds/detector";
    scanner_rule = "quarterdeck:worlds/scanner-rule";
    correlator = "quarterdeck:worlds/correlator";
    notifier = "quarterdeck:worlds/notifier";
    deployment_strategy = "quarterdeck:worlds/deployment-strategy";
    deployment_target = "quarterdeck:worlds/deployment-target";
    runbook_action = "quarterdeck:worlds/runbook-action";
    sla_calculator = "quarterdeck:worlds/sla-calculator";
}
