//! Do this step, or say what it would do.

use crate::{Failure, Outcome, Plugin};
use serde::de::DeserializeOwned;

/// Carries out one step of a runbook.
pub trait RunbookAction: Plugin {
    /// What the step is given (`with` in the runbook), with its placeholders filled in.
    type Inputs: DeserializeOwned;

    /// What [`run`](Self::run) would do, in words for a person, and the effects that it would ask for. `None`: it can't tell.
    fn plan(config: &Self::Config, inputs: &Self::Inputs) -> Result<Option<String>, Failure>;

    /// `key` is the same for every attempt of one step: use it so that doing it twice does no harm.
    ///
    /// The failure says what is known. [`Failure::Rejected`]: nothing was done. [`Failure::Other`]: it has ended, and failed. Both
    /// are tried again up to the step's `attempts`. [`Failure::Retry`]: it may have been done all the same (a time-out, a
    /// connection that was lost); it is tried again only if the step is `idempotent`, and else ends as `unknown`.
    fn run(config: &Self::Config, inputs: &Self::Inputs, key: &str) -> Result<Outcome, Failure>;

    /// Asked after [`Outcome::Pending`], until it is done or fails.
    fn poll(_config: &Self::Config, _token: &str) -> Result<Outcome, Failure> {
        Err(Failure::other("this action leaves nothing pending"))
    }

    /// The run was cancelled: stop what the token stands for. Called at least once, also after a restart.
    fn cancel(_config: &Self::Config, _token: &str) -> Result<(), Failure> {
        Ok(())
    }
}

#[cfg(target_family = "wasm")]
mod wasm {
    use super::RunbookAction;
    use crate::bindings::runbook_action::exports::quarterdeck::runbook_action::runbook_action as wit;
    use crate::mirror::Mirror;
    use crate::plugin::{Component, config};

    fn inputs<P: RunbookAction>(text: &str) -> Result<P::Inputs, wit::Failure> {
        crate::json::from_str(text).map_err(|error| wit::Failure::Rejected(format!("the inputs do not fit: {error}")))
    }

    impl<P: RunbookAction> wit::Guest for Component<P> {
        fn plan(text: String, given: String) -> Result<Option<String>, wit::Failure> {
            P::plan(&config::<P>(&text)?, &inputs::<P>(&given)?).map_err(Mirror::mirror)
        }

        fn run(text: String, given: String, key: String) -> Result<wit::Outcome, wit::Failure> {
            P::run(&config::<P>(&text)?, &inputs::<P>(&given)?, &key).map(Mirror::mirror).map_err(Mirror::mirror)
        }

        fn poll(text: String, token: String) -> Result<wit::Outcome, wit::Failure> {
            P::poll(&config::<P>(&text)?, &token).map(Mirror::mirror).map_err(Mirror::mirror)
        }

        fn cancel(text: String, token: String) -> Result<(), wit::Failure> {
            P::cancel(&config::<P>(&text)?, &token).map_err(Mirror::mirror)
        }
    }
}
