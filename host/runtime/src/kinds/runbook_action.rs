//! Do this step, or say what it would do.

use super::{convert, export};
use crate::runtime::{Request, Runtime};
use async_trait::async_trait;
use quarterdeck_model::Span;
use quarterdeck_model::kind::runbook_action::{LONGEST_RUN, RunbookAction};
use quarterdeck_model::plugin::{ActResult, CallError, CallResult, InstanceName, Kind, Outcome};
use serde_json::Value;

#[async_trait]
impl RunbookAction for Runtime {
    async fn plan(&self, instance: &InstanceName, inputs: &Value) -> CallResult<Option<String>> {
        let inputs = convert::json(inputs);
        self.call(Request::new(Kind::RunbookAction, instance), move |guest, version, config| {
            Box::pin(async move {
                let action = match export(&version, |version| &version.exports.runbook_action, Kind::RunbookAction) {
                    Ok(pre) => {
                        let instance = guest.instance(pre.instance_pre()).await?;
                        crate::bindings::runbook_action::RunbookAction::new(&mut guest.store, &instance)?
                    }
                    Err(error) => return Ok(Err(error)),
                };
                let action = action.quarterdeck_runbook_action_runbook_action();
                Ok(action.call_plan(&mut guest.store, &config, &inputs).await?.map_err(CallError::from))
            })
        })
        .await
    }

    async fn run(&self, instance: &InstanceName, inputs: &Value, key: &str, within: Span) -> ActResult<Outcome> {
        let (inputs, key) = (convert::json(inputs), key.to_owned());
        let request = Request::new(Kind::RunbookAction, instance).within(within.min(LONGEST_RUN));
        self.act(request, move |guest, version, config| {
            Box::pin(async move {
                let action = match export(&version, |version| &version.exports.runbook_action, Kind::RunbookAction) {
                    Ok(pre) => {
                        let instance = guest.instance(pre.instance_pre()).await?;
                        crate::bindings::runbook_action::RunbookAction::new(&mut guest.store, &instance)?
                    }
                    Err(error) => return Ok(Err(error)),
                };
                let action = action.quarterdeck_runbook_action_runbook_action();
                let result = action.call_run(&mut guest.store, &config, &inputs, &key).await?;
                Ok(result.map_err(CallError::from).and_then(convert::outcome))
            })
        })
        .await
    }

    async fn poll(&self, instance: &InstanceName, token: &str) -> ActResult<Outcome> {
        let token = token.to_owned();
        self.act(Request::new(Kind::RunbookAction, instance), move |guest, version, config| {
            Box::pin(async move {
                let action = match export(&version, |version| &version.exports.runbook_action, Kind::RunbookAction) {
                    Ok(pre) => {
                        let instance = guest.instance(pre.instance_pre()).await?;
                        crate::bindings::runbook_action::RunbookAction::new(&mut guest.store, &instance)?
                    }
                    Err(error) => return Ok(Err(error)),
                };
                let action = action.quarterdeck_runbook_action_runbook_action();
                let result = action.call_poll(&mut guest.store, &config, &token).await?;
                Ok(result.map_err(CallError::from).and_then(convert::outcome))
            })
        })
        .await
    }

    async fn cancel(&self, instance: &InstanceName, token: &str) -> ActResult<()> {
        let token = token.to_owned();
        self.act(Request::new(Kind::RunbookAction, instance), move |guest, version, config| {
            Box::pin(async move {
                let action = match export(&version, |version| &version.exports.runbook_action, Kind::RunbookAction) {
                    Ok(pre) => {
                        let instance = guest.instance(pre.instance_pre()).await?;
                        crate::bindings::runbook_action::RunbookAction::new(&mut guest.store, &instance)?
                    }
                    Err(error) => return Ok(Err(error)),
                };
                let action = action.quarterdeck_runbook_action_runbook_action();
                Ok(action.call_cancel(&mut guest.store, &config, &token).await?.map_err(CallError::from))
            })
        })
        .await
    }
}
