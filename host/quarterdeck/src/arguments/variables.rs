//! Variables that stand for flags.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Flags that take no empty value, with their variables.
const FILLED: [(&str, &str); 3] = [
    ("--data-dir", "QUARTERDECK_DATA_DIR"),
    ("--config-dir", "QUARTERDECK_CONFIG_DIR"),
    ("--token-file", "QUARTERDECK_TOKEN_FILE"),
];

/// The variable that is set to nothing, where the error is about that.
pub(crate) fn empty_variable(error: &clap::Error) -> Option<&'static str> {
    if error.kind() != ErrorKind::InvalidValue {
        return None;
    }
    let Some(ContextValue::String(blamed)) = error.get(ContextKind::InvalidArg) else { return None };
    let (_, variable) = FILLED.into_iter().find(|(flag, _)| blamed.split(' ').next() == Some(*flag))?;
    std::env::var_os(variable).is_some_and(|value| value.is_empty()).then_some(variable)
}
