//! What `bindgen!` makes of the WIT packages: one module for what plugins import, one per world that they export. Its types stop
//! at `imports` and `kinds`, which convert them into the model's.

/// The host's own interfaces, as traits that [`crate::sandbox::Sandbox`] implements in `crate::imports`.
pub(crate) mod imports {
    wasmtime::component::bindgen!({
        path: ["../../wit/types", "../../wit/host", "../../wit/plugin", "../../wit/collector", "../../wit/detector",
            "../../wit/scanner-rule", "../../wit/correlator", "../../wit/notifier", "../../wit/deployment-target",
            "../../wit/deployment-strategy", "../../wit/runbook-action", "../../wit/sla-calculator", "../../wit/worlds"],
        world: "quarterdeck:worlds/imports",
        imports: { default: async | trappable },
        with: { "quarterdeck:host/tcp.connection": crate::imports::tcp::Connection },
    });
}

pub(crate) use imports::quarterdeck::host;
pub(crate) use imports::quarterdeck::types::types;

macro_rules! world {
    ($module:ident, $world:literal, {$($with:tt)*}) => {
        pub(crate) mod $module {
            wasmtime::component::bindgen!({
                path: ["../../wit/types", "../../wit/host", "../../wit/plugin", "../../wit/collector", "../../wit/detector",
                    "../../wit/scanner-rule", "../../wit/correlator", "../../wit/notifier", "../../wit/deployment-target",
                    "../../wit/deployment-strategy", "../../wit/runbook-action", "../../wit/sla-calculator", "../../wit/worlds"],
                world: $world,
                exports: { default: async },
                with: { $($with)* },
            });
        }
    };
    ($module:ident, $world:literal) => {
        world!($module, $world, { "quarterdeck:types/types": crate::bindings::imports::quarterdeck::types::types });
    };
}

world!(collector, "quarterdeck:worlds/collector");
world!(correlator, "quarterdeck:worlds/correlator");
world!(deployment_strategy, "quarterdeck:worlds/deployment-strategy");
world!(deployment_target, "quarterdeck:worlds/deployment-target");
world!(detector, "quarterdeck:worlds/detector");
world!(notifier, "quarterdeck:worlds/notifier");
world!(plugin, "quarterdeck:worlds/plugin", {});
world!(runbook_action, "quarterdeck:worlds/runbook-action");
world!(scanner_rule, "quarterdeck:worlds/scanner-rule");
world!(sla_calculator, "quarterdeck:worlds/sla-calculator");
