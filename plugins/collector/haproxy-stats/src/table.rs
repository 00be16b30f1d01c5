//! HAProxy's table: the first line names the columns, which become more with each version.

use std::collections::BTreeMap;

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Frontend,
    Backend,
    Server,
}

impl Kind {
    pub(crate) const ALL: [Kind; 3] = [Kind::Frontend, Kind::Backend, Kind::Server];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Kind::Frontend => "frontend",
            Kind::Backend => "backend",
            Kind::Server => "server",
        }
    }
}

#[derive(Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) kind: Kind,
    pub(crate) proxy: String,
    pub(crate) server: String,
    columns: BTreeMap<String, String>,
}

impl Row {
    pub(crate) fn text(&self, column: &str) -> &str {
        self.columns.get(column).map_or("", String::as_str)
    }

    /// `None` where HAProxy leaves it empty: it is not of this kind of row.
    pub(crate) fn number(&self, column: &str) -> Option<f64> {
        self.text(column).parse().ok()
    }
}

/// `None`: that is no table of HAProxy's. Rows of listeners are left out.
pub(crate) fn parse(text: &str) -> Option<Vec<Row>> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let names = fields(lines.next()?.strip_prefix("# ")?);
    let rows = lines.filter_map(|line| {
        let columns: BTreeMap<String, String> =
            names.iter().cloned().zip(fields(line)).filter(|(name, _)| !name.is_empty()).collect();
        let kind = match columns.get("type").map(String::as_str) {
            Some("0") => Kind::Frontend,
            Some("1") => Kind::Backend,
            Some("2") => Kind::Server,
            _ => return None,
        };
        let of = |name: &str| columns.get(name).cloned().unwrap_or_default();
        Some(Row { kind, proxy: of("pxname"), server: of("svname"), columns })
    });
    names.iter().any(|name| name == "pxname").then(|| rows.collect())
}

/// Fields may be in quotation marks, which stand twice for one.
fn fields(line: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_and_quoted_ones_hold_commas() {
        let text = "# pxname,svname,scur,last_chk,type,\nweb,s1,3,\"a, \"\"b\"\"\",2,\nweb,sock-1,0,,3,\n\n";
        let rows = parse(text).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].kind, rows[0].proxy.as_str(), rows[0].server.as_str()), (Kind::Server, "web", "s1"));
        assert_eq!((rows[0].number("scur"), rows[0].text("last_chk")), (Some(3.0), "a, \"b\""));
        assert_eq!((rows[0].number("nothing"), rows[0].number("last_chk")), (None, None));
        for text in ["", "<html>", "# a,b\n1,2\n", "Unknown command\n"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
