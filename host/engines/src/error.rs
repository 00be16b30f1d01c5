use quarterdeck_model::nearest;
use quarterdeck_model::plugin::CallFailed;
use quarterdeck_model::store::StoreError;

/// Why a flow refused or failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no {what}{}", hint(what, meant.as_deref()))]
    NotFound {
        /// Its kind, and what it was asked for by: "incident `inc_1`".
        what: String,
        /// What may have been meant by a name.
        meant: Option<String>,
    },
    /// What is asked for doesn't fit the state that the thing is in.
    #[error("{message}")]
    Conflict { message: String },
    /// Whoever asked has seen another revision than the one that is there now.
    #[error("`{id}` is at revision {revision} by now; hint: read it again and decide again")]
    Changed { id: String, revision: u64 },
    /// What is asked for makes no sense, whatever the state.
    #[error("{message}")]
    Invalid { message: String },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Call(#[from] CallFailed),
}

impl From<quarterdeck_bus::Error> for Error {
    fn from(error: quarterdeck_bus::Error) -> Self {
        match error {
            quarterdeck_bus::Error::Store(error) => Error::Store(error),
            other => Error::Invalid { message: other.to_string() },
        }
    }
}

impl Error {
    pub fn not_found(what: impl Into<String>) -> Self {
        Error::NotFound { what: what.into(), meant: None }
    }

    /// No thing of that kind goes by a name that a person may have typed; those that there are do.
    pub fn unknown<'a>(kind: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        Error::NotFound { what: format!("{kind} `{name}`"), meant: nearest(name, known).map(str::to_owned) }
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Error::Conflict { message: message.into() }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Error::Invalid { message: message.into() }
    }
}

/// The command that lists what there is of each kind. Of two that begin alike the longer one stands first.
const LISTS: [(&str, &str); 13] = [
    ("alerting rule", "config objects rule-groups"),
    ("alert", "alert list"),
    ("dead letter", "dead-letter list"),
    ("deployment", "deployment list"),
    ("incident", "incident list"),
    ("objective", "slo list"),
    ("rule group", "config objects rule-groups"),
    ("rule", "config objects rules"),
    ("runbook", "runbook list"),
    ("run", "runbook runs"),
    ("scan", "config objects scans"),
    ("service", "service list"),
    ("silence", "silence list"),
];

fn hint(what: &str, meant: Option<&str>) -> String {
    let list = LISTS.iter().find(|(kind, _)| what.starts_with(kind)).map(|(_, list)| list);
    let list = list.map(|list| format!("`quarterdeck {list}` shows what there is"));
    let meant = meant.map(|meant| format!("did you mean `{meant}`?"));
    match [meant, list].into_iter().flatten().collect::<Vec<_>>().join(" ") {
        none if none.is_empty() => none,
        hint => format!("; hint: {hint}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_said_with_where_to_look() {
        let kinds =
            ["alert", "incident", "scan", "service", "runbook", "deployment", "run", "dead letter", "rule group"];
        for kind in kinds {
            let said = Error::not_found(format!("{kind} `x`")).to_string();
            assert!(said.starts_with(&format!("there is no {kind} `x`; hint: `quarterdeck ")), "{said}");
        }
        assert_eq!(
            Error::unknown("service", "shpo", ["shop", "search"]).to_string(),
            "there is no service `shpo`; hint: did you mean `shop`? `quarterdeck service list` shows what there is"
        );
        assert!(Error::not_found("run `x`").to_string().contains("runbook runs"));
        assert_eq!(Error::not_found("calculator `x`").to_string(), "there is no calculator `x`");
    }
}
