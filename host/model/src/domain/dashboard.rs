//! Dashboards: panels over metrics, that people look at.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Panels on one page, in the order in which they are shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DashboardSpec {
    pub title: String,
    /// What it shows, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    pub panels: Vec<Panel>,
    /// Switched off, it is not shown.
    #[serde(default = "crate::domain::yes", skip_serializing_if = "crate::domain::is_yes")]
    pub enabled: bool,
}

impl DashboardSpec {
    /// Panels of one dashboard, at most: each is evaluated whenever somebody looks.
    pub const PANELS: usize = 40;
}

/// Some expressions, and how they are shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Panel {
    pub title: String,
    #[serde(default)]
    pub kind: PanelKind,
    /// PromQL. All of them in one panel.
    pub queries: Vec<String>,
    /// Of the values: `%`, `B`, `B/s`, `s`. `B` and `B/s` are shown in thousands.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// Takes the whole width of the page.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wide: bool,
}

impl Panel {
    /// Expressions of one panel, at most.
    pub const QUERIES: usize = 10;
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PanelKind {
    /// Lines over the time that is looked at.
    #[default]
    Chart,
    /// What it is now, in large figures.
    Value,
    /// What it is now, series by series.
    Table,
}
