//! The answer to `show stat`: CSV whose columns grow from release to release, so they are found by their names.

/// A server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) server: String,
    /// `UP`, `UP 1/3`, `no check`, `DOWN`, `DRAIN`, `MAINT`, ...
    pub(crate) status: String,
    /// As it was set, 0 to 256.
    pub(crate) weight: u32,
    /// Requests that it works on.
    pub(crate) in_flight: u64,
    /// Requests that wait for it.
    pub(crate) queued: u64,
    /// Since HAProxy started.
    pub(crate) counters: Counters,
    /// `127.0.0.1:8080`; not shown below `level operator`.
    pub(crate) address: Option<String>,
}

/// What a server did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) responses: u64,
    /// With a status of 500 or above, HAProxy's own among them: the 502, 503 or 504 that a client gets where the server refuses,
    /// drops or does not answer counts as an error of the server (`econ`, `eresp`), not among its responses. Where the client's
    /// connection has had an answer before, it gets none of these: HAProxy closes it and counts nothing, so that what was given to the
    /// server (`stot`), is not under way, was not given up by its client, and was not answered, is a failure too. Of a TCP
    /// backend, connections that failed.
    pub(crate) failures: u64,
}

impl Row {
    /// Takes traffic, as far as HAProxy's own checks, if there are any, know.
    pub(crate) fn is_up(&self) -> bool {
        self.status.starts_with("UP") || self.status == "no check"
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.queued == 0
    }
}

/// `None`: it is no table, but what HAProxy says instead.
pub(crate) fn parse(text: &str) -> Option<Vec<Row>> {
    let mut lines = text.lines();
    let header = fields(lines.next()?.strip_prefix("# ")?);
    let column = |name: &str| header.iter().position(|own| own == name);
    let server = column("svname")?;
    let status = column("status")?;
    let responses = ["hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"].map(column);
    let weight = column("uweight").or_else(|| column("weight"));
    let (in_flight, queued, failed) = (column("scur"), column("qcur"), column("hrsp_5xx"));
    let (sessions, errors) = (column("stot"), [column("econ"), column("eresp")]);
    let given_up = column("cli_abrt");
    let address = column("addr");
    let rows = lines.filter(|line| !line.trim().is_empty()).map(|line| {
        let fields = fields(line);
        let text = |at: Option<usize>| at.and_then(|at| fields.get(at)).map_or("", String::as_str);
        let number = |at: Option<usize>| text(at).parse::<u64>().ok();
        let sum = |columns: &[Option<usize>]| columns.iter().filter_map(|at| number(*at)).sum();
        let counters = match number(failed) {
            Some(answered) => {
                let with_status: u64 = sum(&responses);
                let ended = number(sessions).unwrap_or(0).saturating_sub(sum(&[in_flight, given_up]));
                let unanswered = ended.saturating_sub(with_status).max(sum(&errors));
                Counters { responses: with_status + unanswered, failures: answered + unanswered }
            }
            // Empty in a TCP backend.
            None => Counters { responses: number(sessions).unwrap_or(0), failures: sum(&errors) },
        };
        Row {
            server: text(Some(server)).to_owned(),
            status: text(Some(status)).to_owned(),
            weight: number(weight).and_then(|weight| u32::try_from(weight).ok()).unwrap_or(0),
            in_flight: number(in_flight).unwrap_or(0),
            queued: number(queued).unwrap_or(0),
            counters,
            address: Some(text(address)).filter(|address| !address.is_empty()).map(str::to_owned),
        }
    });
    Some(rows.collect())
}

/// Quoted where a comma or a quote stands inside, quotes doubled.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
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

    /// HAProxy 2.6: a backend with an unchecked server, a checked one and an empty slot, to the column `h1_spliced_bytes_out`.
    const SHOWN: &str = include_str!("stat/shown.csv");

    #[test]
    fn real_statistics_are_read() {
        let rows = parse(SHOWN).unwrap();
        assert_eq!(
            rows[0],
            Row {
                server: "s1".into(),
                status: "no check".into(),
                weight: 10,
                counters: Counters { responses: 2, failures: 0 },
                address: Some("127.0.0.1:18112".into()),
                ..Row::default()
            }
        );
        assert_eq!((rows[1].server.as_str(), rows[1].status.as_str(), rows[1].weight), ("s2", "UP 1/3", 0));
        assert_eq!((rows[2].status.as_str(), rows[2].is_up()), ("MAINT", false));
        assert!(rows[0].is_up() && rows[1].is_up());
        assert_eq!(rows.len(), 3);
    }

    #[test]
    fn columns_are_found_by_name_and_fields_may_be_quoted() {
        let rows = parse(
            "# svname,last_chk,scur,qcur,status,hrsp_2xx,hrsp_5xx\ns1,\"a, \"\"b\"\"\",3,1,DOWN 1/2,40,2\ns2,,0,0,DRAIN,,\n",
        )
        .unwrap();
        assert_eq!(rows[0].counters, Counters { responses: 42, failures: 2 });
        assert_eq!((rows[0].in_flight, rows[0].queued, rows[0].is_up()), (3, 1, false));
        assert!(rows[1].is_idle());
        assert_eq!(rows[1].address, None);
    }

    /// As HAProxy 2.6 shows a server that answered 16 of 20 requests and dropped the connection of the others.
    #[test]
    fn what_clients_got_a_502_or_503_for_is_a_failure_of_the_server() {
        let rows = parse("# svname,econ,eresp,status,hrsp_2xx,hrsp_5xx\ns1,0,4,UP,16,0\ns2,20,0,UP,0,0\n").unwrap();
        assert_eq!(rows[0].counters, Counters { responses: 20, failures: 4 });
        assert_eq!(rows[1].counters, Counters { responses: 20, failures: 20 });
    }

    /// As HAProxy 2.6 shows one that dropped a fifth, under a client that keeps its connections: it saw 1355 closed without an answer.
    #[test]
    fn what_clients_got_no_answer_at_all_for_is_a_failure_of_the_server() {
        let rows = parse(
            "# svname,scur,stot,econ,eresp,cli_abrt,status,hrsp_2xx,hrsp_5xx\n\
             s1,3,1823,0,0,0,UP,1820,0\ns2,0,6867,0,18,0,UP,5494,0\ns3,2,10,0,0,1,UP,7,0\n",
        )
        .unwrap();
        assert_eq!(rows[0].counters, Counters { responses: 1820, failures: 0 });
        assert_eq!(rows[1].counters, Counters { responses: 6867, failures: 1373 });
        assert_eq!(rows[2].counters, Counters { responses: 7, failures: 0 });
    }

    #[test]
    fn of_a_tcp_backend_connections_are_counted() {
        let rows = parse("# svname,stot,econ,eresp,status,hrsp_5xx\ns1,9,1,2,UP,\n").unwrap();
        assert_eq!(rows[0].counters, Counters { responses: 9, failures: 3 });
    }

    #[test]
    fn what_is_no_table_is_none() {
        for text in ["", "No such proxy.\n\n", "# a,b\n"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
