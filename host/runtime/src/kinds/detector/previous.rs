//! Components of `quarterdeck:detector@0.1`, whose verdicts hold no samples. The rest of that version is as it is now, and types of
//! components are compared by their shape: only the verdict has one of its own.

use crate::bindings::detector::exports::quarterdeck::detector::detector as wit;
use crate::call::Guest;
use crate::sandbox::Sandbox;
use wasmtime::component::{ComponentExportIndex, ComponentType, InstancePre, Lift};

/// The export, looked up once.
#[derive(Clone)]
pub(crate) struct Previous {
    pre: InstancePre<Sandbox>,
    evaluate: ComponentExportIndex,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Verdict {
    signals: Vec<wit::Signal>,
    state: Option<Vec<u8>>,
}

type Arguments<'a> = (&'a str, &'a wit::Window, Option<&'a [u8]>);

impl Previous {
    /// `interface` is the name that the component exports it under.
    pub(crate) fn new(pre: InstancePre<Sandbox>, interface: &str) -> Result<Self, String> {
        let component = pre.component();
        let index = component.get_export_index(None, interface);
        let evaluate = index.and_then(|interface| component.get_export_index(Some(&interface), "evaluate"));
        let evaluate = evaluate.ok_or_else(|| format!("`{interface}` has no function `evaluate`"))?;
        Ok(Previous { pre, evaluate })
    }

    /// Checks the function's type, as [`Previous::evaluate`] does.
    pub(crate) async fn instantiate(&self, guest: &mut Guest) -> wasmtime::Result<()> {
        let instance = self.pre.instantiate_async(&mut guest.store).await?;
        instance.get_typed_func::<Arguments<'_>, (Result<Verdict, wit::Failure>,)>(&mut guest.store, self.evaluate)?;
        Ok(())
    }

    pub(super) async fn evaluate(
        &self,
        guest: &mut Guest,
        config: &str,
        window: &wit::Window,
        state: Option<&[u8]>,
    ) -> wasmtime::Result<Result<wit::Verdict, wit::Failure>> {
        let instance = self.pre.instantiate_async(&mut guest.store).await?;
        let store = &mut guest.store;
        let function =
            instance.get_typed_func::<Arguments<'_>, (Result<Verdict, wit::Failure>,)>(&mut *store, self.evaluate)?;
        let (answer,) = function.call_async(store, (config, window, state)).await?;
        Ok(answer.map(|Verdict { signals, state }| wit::Verdict { signals, state, derived: Vec::new() }))
    }
}
