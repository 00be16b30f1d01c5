//! One file per plugin kind: what goes in, what comes out, and the port through which engines call it. The shapes are those of
//! the WIT interfaces, which say more about each field.

pub mod collector;
pub mod correlator;
pub mod deployment_strategy;
pub mod deployment_target;
pub mod detector;
pub mod notifier;
pub mod runbook_action;
pub mod scanner_rule;
pub mod sla_calculator;

use std::sync::Arc;

/// Every port to plugins, for the shells of the engines.
#[derive(Clone)]
pub struct Plugins {
    pub collector: Arc<dyn collector::Collector>,
    pub detector: Arc<dyn detector::Detector>,
    pub scanner_rule: Arc<dyn scanner_rule::ScannerRule>,
    pub correlator: Arc<dyn correlator::Correlator>,
    pub notifier: Arc<dyn notifier::Notifier>,
    pub deployment_strategy: Arc<dyn deployment_strategy::DeploymentStrategy>,
    pub deployment_target: Arc<dyn deployment_target::DeploymentTarget>,
    pub runbook_action: Arc<dyn runbook_action::RunbookAction>,
    pub sla_calculator: Arc<dyn sla_calculator::SlaCalculator>,
}
