//! Labels: the dimensions of a series, an alert or an incident.

/// Names and values, in the order in which they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(pub Vec<(String, String)>);

impl Labels {
    /// No labels.
    pub const fn new() -> Self {
        Labels(Vec::new())
    }

    /// Adds one.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same set in the order of its names, so that equal sets are equal.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.0.sort();
        self
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Labels(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// As in PromQL: `{name="value",other="value"}`.
impl std::fmt::Display for Labels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(name)?;
            f.write_str("=\"")?;
            for character in value.chars() {
                match character {
                    '"' => f.write_str("\\\"")?,
                    '\\' => f.write_str("\\\\")?,
                    '\n' => f.write_str("\\n")?,
                    other => std::fmt::Write::write_char(f, other)?,
                }
            }
            f.write_str("\"")?;
        }
        f.write_str("}")
    }
}

#[cfg(target_family = "wasm")]
mod wasm {
    use super::Labels;
    use crate::bindings::imports::quarterdeck::types::types::Label;
    use crate::mirror::Mirror;

    impl Mirror<Labels> for Vec<Label> {
        fn mirror(self) -> Labels {
            Labels(self.into_iter().map(|label| (label.name, label.value)).collect())
        }
    }

    impl Mirror<Vec<Label>> for Labels {
        fn mirror(self) -> Vec<Label> {
            self.0.into_iter().map(|(name, value)| Label { name, value }).collect()
        }
    }
}
