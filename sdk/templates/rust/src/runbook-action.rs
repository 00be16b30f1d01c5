//! Do this step, or say what it would do.

use quarterdeck_sdk::runbook_action::RunbookAction;
use quarterdeck_sdk::{Failure, Outcome, Plugin};

quarterdeck_sdk::config! {
    /// What an instance is configured with.
    pub struct Config {
        /// What it says. Unless given, hello.
        #[serde(default = "hello")]
        pub greeting: String,
    }
}

quarterdeck_sdk::config! {
    /// What a step is given (`with` in the runbook).
    pub struct Inputs {
        /// Whom to greet.
        pub name: String,
    }
}

fn hello() -> String {
    "hello".to_owned()
}

pub struct {{type}};

impl Plugin for {{type}} {
    type Config = Config;
    const NAME: &'static str = "{{name}}";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Greets";
}

impl RunbookAction for {{type}} {
    type Inputs = Inputs;

    fn plan(_config: &Config, inputs: &Inputs) -> Result<Option<String>, Failure> {
        Ok(Some(format!("greets {}", inputs.name)))
    }

    // The key is the same for every attempt of one step: use it where doing it twice would do harm.
    fn run(config: &Config, inputs: &Inputs, _key: &str) -> Result<Outcome, Failure> {
        if inputs.name.is_empty() {
            return Err(Failure::rejected("there is nobody to greet; hint: set `name`"));
        }
        Ok(Outcome::done().with("said", format!("{}, {}", config.greeting, inputs.name)))
    }
}

quarterdeck_sdk::export!({{type}}: runbook_action);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_greets() {
        let inputs = |name: &str| Inputs { name: name.to_owned() };
        let config = Config { greeting: hello() };
        let outcome = {{type}}::run(&config, &inputs("you"), "key-1").unwrap();
        assert_eq!(outcome, Outcome::done().with("said", "hello, you"));
        assert!(matches!({{type}}::run(&config, &inputs(""), "key-2"), Err(Failure::Rejected(_))));
    }
}
