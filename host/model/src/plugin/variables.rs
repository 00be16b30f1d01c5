//! Variables of programs that a plugin runs: which of them a grant may name.

/// Variables that make a program run other code than its own: a grant of the program is no grant of that. There is no end to such a
/// list, so it is the second line only: what a grant does not name is not set at all.
const LOADERS: [&str; 37] = [
    "BASH_ENV",
    "BASHOPTS",
    "BROWSER",
    "CDPATH",
    "CLASSPATH",
    "EDITOR",
    "ENV",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "LESSCLOSE",
    "LESSOPEN",
    "LOCPATH",
    "MAKEFLAGS",
    "MANPAGER",
    "NODE_OPTIONS",
    "NODE_PATH",
    "OPENSSL_CONF",
    "OPENSSL_ENGINES",
    "OPENSSL_MODULES",
    "PAGER",
    "PATH",
    "PROMPT_COMMAND",
    "PS4",
    "RSYNC_CONNECT_PROG",
    "RSYNC_RSH",
    "SHELL",
    "SHELLOPTS",
    "SSH_ASKPASS",
    "SUDO_ASKPASS",
    "SYSTEMD_EDITOR",
    "SYSTEMD_PAGER",
    "TAR_OPTIONS",
    "VISUAL",
    "ZDOTDIR",
];
const LOADER_PREFIXES: [&str; 9] =
    ["LD_", "DYLD_", "GIT_", "PERL", "PYTHON", "RUBY", "BASH_FUNC_", "_JAVA_", "QUARTERDECK_"];

/// Why no plugin may set the variable `name`, whatever is granted; `None` if a grant may name it. Completes "`NAME` ...".
pub fn never_set(name: &str) -> Option<&'static str> {
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name {
        return Some("is not the name of a variable");
    }
    let upper = name.to_ascii_uppercase();
    let loads = LOADERS.contains(&upper.as_str()) || LOADER_PREFIXES.iter().any(|prefix| upper.starts_with(prefix));
    loads.then_some("can make a program run other code: plugins can't set it")
}

#[cfg(test)]
mod tests {
    use super::never_set;

    #[test]
    fn what_loads_code_and_what_is_no_name_is_never_set() {
        for name in ["PORT", "GREETING", "_x", "lower", "HOME", "KUBECONFIG", "XDG_CONFIG_HOME", "LANG"] {
            assert_eq!(never_set(name), None, "{name}");
        }
        for name in ["LD_PRELOAD", "ld_preload", "PATH", "BASH_ENV", "GIT_SSH_COMMAND", "PYTHONPATH", "TAR_OPTIONS"] {
            assert!(never_set(name).is_some_and(|why| why.contains("other code")), "{name}");
        }
        for name in ["QUARTERDECK_PROCESS", "_JAVA_OPTIONS", "OPENSSL_CONF"] {
            assert!(never_set(name).is_some_and(|why| why.contains("other code")), "{name}");
        }
        for name in ["a=b", "", "1x", "a b", "*", "A*"] {
            assert_eq!(never_set(name), Some("is not the name of a variable"), "{name}");
        }
    }
}
