//! Reads the configuration as an invocation names it.

use crate::arguments::Global;
use quarterdeck_config::{Base, Flag, Loaded, Place, Problem, Problems, Source, Word};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Variables that the command line, the build and the tests read themselves.
const OWN_VARIABLES: [&str; 9] = [
    "QUARTERDECK_DATA_DIR",
    "QUARTERDECK_CONFIG_DIR",
    "QUARTERDECK_CACHE_DIR",
    "QUARTERDECK_ENVIRONMENT",
    "QUARTERDECK_LISTEN",
    "QUARTERDECK_URL",
    "QUARTERDECK_TOKEN_FILE",
    "QUARTERDECK_NO_RUSTUP",
    "QUARTERDECK_SKIP_PLUGINS",
];

/// `--config-dir`, else the first of the usual places that holds a `quarterdeck.toml`, else `config` in the data folder.
pub(crate) fn config_dir(global: &Global) -> Option<PathBuf> {
    // A link that leads nowhere counts: it is a mistake in this folder, and no reason to look into the next one.
    let holds_one =
        |place: &PathBuf| place.join("quarterdeck.toml").symlink_metadata().is_ok_and(|data| !data.is_dir());
    let usual = || usual_places().find(holds_one);
    let last = || crate::client::default_data_dir(global).ok().map(|data| data.join("config"));
    global.config_dir.clone().or_else(usual).or_else(last)
}

/// Where a user's own configuration stands: `--config-dir`, else the first of the usual places.
pub(crate) fn own_config_dir(global: &Global) -> Option<PathBuf> {
    global.config_dir.clone().or_else(|| usual_places().next())
}

/// Where a configuration may stand without being named.
pub(super) fn usual_places() -> impl Iterator<Item = PathBuf> {
    let home = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".config")));
    [home.map(|home| home.join("quarterdeck")), Some(PathBuf::from("/etc/quarterdeck"))].into_iter().flatten()
}

/// All layers, as this invocation names them; without what the API has said to a daemon.
pub(crate) fn load_configuration(global: &Global) -> Result<Loaded, Problems> {
    lay(&read(global, config_dir(global))?, &[])
}

/// The same without the parts that are wrong, for whoever wants to know what else is.
pub(crate) fn load_rest(global: &Global) -> Option<Loaded> {
    read(global, config_dir(global)).ok()?.rest(&[])
}

/// The files of the folder, with variables and flags.
pub(super) fn read(global: &Global, dir: Option<PathBuf>) -> Result<Base, Problems> {
    let mut variables: Vec<(String, String)> = variables(std::env::vars_os())?;
    let mut flags = Vec::new();
    let data_dir = global.data_dir.as_ref().map(|folder| folder.display().to_string());
    for (path, given) in [("listen", global.listen.clone()), ("data-dir", data_dir)] {
        let Some(value) = given else { continue };
        match origin(&format!("--{path}"), &value) {
            Place::Variable(name) => variables.push((name.to_string(), value)),
            other => flags.push(Flag { path: path.to_owned(), value, name: other.to_string() }),
        }
    }
    if let Some(named) = global.config_dir.as_ref().filter(|named| !named.is_dir()) {
        let shown = named.display().to_string();
        return Err(Problems(vec![Problem {
            place: Some(origin("--config-dir", &shown)),
            pointer: String::new(),
            message: format!("there is no folder {shown}"),
            hint: Some(format!("make one: quarterdeck init {shown}")),
        }]));
    }
    let environment = global.environment.clone();
    let environment_from = environment.as_ref().map(|name| origin("--environment", name));
    Ok(Base::read(Source { dir, file: None, environment, environment_from, variables, flags }))
}

/// Whether it was the flag or its variable that gave the value: `--config-dir` stands for `QUARTERDECK_CONFIG_DIR`, too.
fn origin(flag: &str, value: &str) -> Place {
    let variable = format!("QUARTERDECK_{}", flag.trim_start_matches('-').replace('-', "_").to_uppercase());
    let is_set = std::env::var_os(&variable).is_some_and(|set| set.to_string_lossy() == value);
    if is_set { Place::Variable(variable.into()) } else { Place::Flag(flag.into()) }
}

/// Those that set something. Others may hold what they like; of these, one that can't be read is no variable to pass over.
fn variables<C: FromIterator<(String, String)>>(
    all: impl Iterator<Item = (OsString, OsString)>,
) -> Result<C, Problems> {
    let (mut variables, mut problems) = (Vec::new(), Vec::new());
    for (name, value) in all {
        let shown = name.to_string_lossy().into_owned();
        let own = OWN_VARIABLES.contains(&shown.as_str()) || shown.starts_with("QUARTERDECK_TESTS_");
        if own || !shown.starts_with("QUARTERDECK_") {
            continue;
        }
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => variables.push((name, value)),
            _ => problems.push(Problem {
                place: None,
                pointer: String::new(),
                message: format!("the environment variable {shown} is not UTF-8"),
                hint: Some(format!("set it anew, or take it away: unset {shown}")),
            }),
        }
    }
    if problems.is_empty() { Ok(variables.into_iter().collect()) } else { Err(Problems(problems)) }
}

/// Lays the API's words over the files.
pub(super) fn lay(base: &Base, words: &[Word]) -> Result<Loaded, Problems> {
    let loaded = base.with(words)?;
    let mut problems = Vec::new();
    problems.extend(
        unsafe_address(loaded.settings.listen)
            .map(|(message, hint)| Problem { hint: Some(hint.to_owned()), ..loaded.problem("/listen", message) }),
    );
    problems.extend(super::log::filter(&loaded.settings.log).err().map(|wrong| loaded.problem("/log/filter", wrong)));
    if problems.is_empty() { Ok(loaded) } else { Err(Problems(problems)) }
}

/// Why the daemon does not listen there, and what to do.
fn unsafe_address(listen: SocketAddr) -> Option<(String, &'static str)> {
    let message = format!("{listen} is not a loopback address, and TLS with tokens for everything is not there yet");
    let hint = "listen on 127.0.0.1, put a proxy that terminates TLS in front, and set its name in [api] `allowed-hosts`, with which \
                reading needs the token (or `reads-need-token`); the proxy has to pass the name on: in nginx, `proxy_set_header Host $host;`";
    (!listen.ip().is_loopback()).then_some((message, hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn only_variables_that_set_something_must_be_readable() {
        let raw = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let read =
            |given: &[(&[u8], &[u8])]| variables::<Vec<_>>(given.iter().map(|(name, value)| (raw(name), raw(value))));
        let good: &[(&[u8], &[u8])] = &[
            (b"OTHER", b"\xff"),
            (b"\xff", b"a"),
            (b"QUARTERDECK_DATA_DIR", b"/a/\xff"),
            (b"QUARTERDECK_TESTS_X", b"\xff"),
            (b"QUARTERDECK_LOG__FILTER", b"debug"),
        ];
        assert_eq!(read(good).unwrap(), [("QUARTERDECK_LOG__FILTER".to_owned(), "debug".to_owned())]);
        let bad: &[(&[u8], &[u8])] = &[(b"QUARTERDECK_LOG__FILTER", b"\xff"), (b"QUARTERDECK_\xff", b"a")];
        let Problems(problems) = read(bad).unwrap_err();
        let messages: Vec<_> = problems.into_iter().map(|problem| problem.message).collect();
        assert_eq!(messages[0], "the environment variable QUARTERDECK_LOG__FILTER is not UTF-8");
        assert_eq!(messages.len(), 2);
    }
}
