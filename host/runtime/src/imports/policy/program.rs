//! Programs and their arguments.

use super::Verdict;
use globset::GlobBuilder;
use quarterdeck_model::plugin::{InstanceSpec, ProgramGrant};
use quarterdeck_model::process::ProcessSpec;

/// Any further arguments.
const REST: &str = "...";

/// Variables that make a program run other code than its own: a grant of the program is no grant of that.
const LOADERS: [&str; 20] = [
    "BASH_ENV",
    "BASHOPTS",
    "CDPATH",
    "CLASSPATH",
    "EDITOR",
    "ENV",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "LOCPATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PAGER",
    "PATH",
    "PROMPT_COMMAND",
    "PS4",
    "SHELLOPTS",
    "VISUAL",
];
const LOADER_PREFIXES: [&str; 9] =
    ["LD_", "DYLD_", "GIT_", "PERL", "PYTHON", "RUBY", "BASH_FUNC_", "_JAVA_", "QUARTERDECK_"];

/// `capability` is `exec` or `process`: where the grant would stand.
pub(crate) fn program_allowed(
    grants: &[ProgramGrant],
    program: &str,
    arguments: &[String],
    capability: &str,
) -> Verdict {
    let is_plain = program.starts_with('/') && !program.split('/').any(|part| part == ".." || part == ".");
    if !is_plain {
        return Err(format!("`{}` is not a plain absolute path", program.escape_debug()));
    }
    let mut of_program = grants.iter().filter(|grant| grant.program == program).peekable();
    if of_program.peek().is_none() {
        return Err(format!("`{program}` is not granted; hint: grants.{capability} = [{{ program = \"{program}\" }}]"));
    }
    if of_program.any(|grant| arguments_match(&grant.arguments, arguments)) {
        return Ok(());
    }
    let written: Vec<String> = arguments.iter().map(|argument| argument.escape_debug().to_string()).collect();
    Err(format!(
        "`{program}` is not granted with the arguments {written:?}; hint: add a pattern for each to `arguments` of its grant in grants.{capability}"
    ))
}

/// Whether the instance as it is configured may run a process: what [`program_allowed`] says to its `process` grants.
pub fn process_allowed(instance: &InstanceSpec, process: &ProcessSpec) -> bool {
    program_allowed(&instance.grants.process, &process.program, &process.arguments, "process").is_ok()
}

fn arguments_match(patterns: &[String], arguments: &[String]) -> bool {
    let (patterns, open) = match patterns.split_last() {
        Some((last, before)) if last == REST => (before, true),
        _ => (patterns, false),
    };
    let fits = if open { arguments.len() >= patterns.len() } else { arguments.len() == patterns.len() };
    fits && patterns.iter().zip(arguments).all(|(pattern, argument)| argument_matches(pattern, argument))
}

/// `*` stands for slashes, too: an argument is a text, not a path. But what a pattern keeps below a folder stays there. A pattern that
/// can't be read matches nothing.
fn argument_matches(pattern: &str, argument: &str) -> bool {
    let climbs = |text: &str| text.split('/').any(|part| part == "..");
    if pattern.contains('/') && climbs(argument) && !climbs(pattern) {
        return false;
    }
    GlobBuilder::new(pattern)
        .literal_separator(false)
        .build()
        .is_ok_and(|glob| glob.compile_matcher().is_match(argument))
}

/// Whether a plugin may set these variables for a program.
pub(crate) fn environment_allowed(environment: &[(String, String)]) -> Verdict {
    for (name, _) in environment {
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            return Err(format!("`{}` is not the name of a variable", name.escape_debug()));
        }
        let upper = name.to_ascii_uppercase();
        if LOADERS.contains(&upper.as_str()) || LOADER_PREFIXES.iter().any(|prefix| upper.starts_with(prefix)) {
            return Err(format!("`{name}` can make a program run other code: plugins can't set it"));
        }
    }
    Ok(())
}
