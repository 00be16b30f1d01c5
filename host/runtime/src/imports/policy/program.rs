//! Programs, their arguments, and the variables that are set for them.

use super::Verdict;
use globset::GlobBuilder;
use quarterdeck_model::plugin::variables::never_set;
use quarterdeck_model::plugin::{InstanceSpec, ProgramGrant};
use quarterdeck_model::process::ProcessSpec;

/// Any further arguments.
const REST: &str = "...";

/// What the host itself reads of a process: how its deployment calls it, which stands in the log. Says nothing to a program that was
/// not made for it, so a process may have it without a grant.
const REPLICA: &str = "REPLICA";

/// Whether one and the same grant allows the program with these arguments and these variables. `capability` is `exec` or `process`:
/// where the grant would stand.
pub(crate) fn program_allowed(
    grants: &[ProgramGrant],
    program: &str,
    arguments: &[String],
    environment: &[(String, String)],
    capability: &str,
) -> Verdict {
    let matching = matching(grants, program, arguments, capability)?;
    let mut names = Vec::new();
    for (name, _) in environment {
        if let Some(why) = never_set(name) {
            return Err(format!("`{}` {why}", name.escape_debug()));
        }
        let is_the_hosts = capability == "process" && name == REPLICA;
        if !is_the_hosts && !names.contains(&name) {
            names.push(name);
        }
    }
    let missing = |grant: &ProgramGrant| names.iter().filter(|name| !grant.environment.contains(name)).count();
    let Some(nearest) = matching.iter().min_by_key(|grant| missing(grant)) else { return Ok(()) };
    if missing(nearest) == 0 {
        return Ok(());
    }
    let wanted: Vec<&String> = names.into_iter().filter(|name| !nearest.environment.contains(name)).collect();
    let words: Vec<String> = wanted.iter().map(|name| format!("`{name}`")).collect();
    Err(format!(
        "`{program}` is not granted with the variable{} {}; hint: add {wanted:?} to `environment` of its grant in grants.{capability}, \
         if the plugin is to choose {}",
        if wanted.len() == 1 { "" } else { "s" },
        words.join(", "),
        if wanted.len() == 1 { "its value" } else { "their values" },
    ))
}

/// The grants of the program with these arguments, one at least.
fn matching<'a>(
    grants: &'a [ProgramGrant],
    program: &str,
    arguments: &[String],
    capability: &str,
) -> Result<Vec<&'a ProgramGrant>, String> {
    let is_plain = program.starts_with('/') && !program.split('/').any(|part| part == ".." || part == ".");
    if !is_plain {
        return Err(format!("`{}` is not a plain absolute path", program.escape_debug()));
    }
    let mut of_program = grants.iter().filter(|grant| grant.program == program).peekable();
    if of_program.peek().is_none() {
        return Err(format!("`{program}` is not granted; hint: grants.{capability} = [{{ program = \"{program}\" }}]"));
    }
    let matching: Vec<_> = of_program.filter(|grant| arguments_match(&grant.arguments, arguments)).collect();
    if !matching.is_empty() {
        return Ok(matching);
    }
    let written: Vec<String> = arguments.iter().map(|argument| argument.escape_debug().to_string()).collect();
    Err(format!(
        "`{program}` is not granted with the arguments {written:?}; hint: add a pattern for each to `arguments` of its grant in grants.{capability}"
    ))
}

/// Whether the instance as it is configured may go on running a process: what its `process` grants say of program and arguments. Variables are
/// asked about when it is started: one that runs has read them, and a grant of an older configuration, which names none, must not end it.
pub fn process_allowed(instance: &InstanceSpec, process: &ProcessSpec) -> bool {
    matching(&instance.grants.process, &process.program, &process.arguments, "process").is_ok()
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
