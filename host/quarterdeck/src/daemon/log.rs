//! The log: what is written, and in which format, can be changed at any time.

use quarterdeck_config::{LogFormat, LogSettings};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::Metadata;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// Changes the log.
pub(super) struct Handle {
    filter: reload::Handle<EnvFilter, Registry>,
    json: Arc<AtomicBool>,
}

/// What the settings let through.
///
/// # Errors
/// What is wrong with the filter.
pub(super) fn filter(settings: &LogSettings) -> Result<EnvFilter, String> {
    EnvFilter::try_new(&settings.filter).map_err(|error| error.to_string())
}

/// Both formats are there from the start, and one of them is silent: a span that began in one can't go on in the other.
pub(super) fn start(settings: &LogSettings) -> Handle {
    let (allowed, handle) = reload::Layer::new(filter(settings).unwrap_or_else(|_| EnvFilter::new("info")));
    let json = Arc::new(AtomicBool::new(settings.format == LogFormat::Json));
    let ansi = std::io::stderr().is_terminal();
    let text = fmt::layer().with_writer(std::io::stderr).with_ansi(ansi).with_filter(only(&json, false));
    let objects = fmt::layer().json().with_writer(std::io::stderr).with_filter(only(&json, true));
    tracing_subscriber::registry().with(allowed).with(text).with(objects).init();
    Handle { filter: handle, json }
}

/// Lets everything through while the format is the wanted one.
fn only<S: 'static>(json: &Arc<AtomicBool>, wanted: bool) -> impl Filter<S> + 'static {
    let json = Arc::clone(json);
    dynamic_filter_fn(move |_: &Metadata<'_>, _: &Context<'_, S>| json.load(Ordering::Relaxed) == wanted)
}

impl Handle {
    pub(super) fn set(&self, settings: &LogSettings) {
        self.json.store(settings.format == LogFormat::Json, Ordering::Relaxed);
        // It was checked when it was loaded, and the subscriber lives as long as the process.
        let changed = filter(settings).map(|filter| self.filter.reload(filter));
        if let Ok(Err(error)) = changed {
            tracing::warn!(%error, "the log's filter could not be changed");
        }
    }
}
