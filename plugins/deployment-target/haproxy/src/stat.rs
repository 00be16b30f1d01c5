//! The answer to `show stat`: CSV whose columns grow from release to release, so they are found by their names.

/// A server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// The backend's name.
    pub(crate) proxy: String,
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
    /// connection has had an answer before, it gets none of these: HAProxy closes it and counts nothing, so that a request that was
    /// given to the server, is not under way, was not given up by its client, and was not answered, is a failure too. What went well
    /// at a later try, there or at another server, is none. Of a TCP backend, connections that failed.
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
    let proxy = column("pxname");
    let server = column("svname")?;
    let status = column("status")?;
    let responses = ["hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"].map(column);
    let weight = column("uweight").or_else(|| column("weight"));
    let (in_flight, queued, failed) = (column("scur"), column("qcur"), column("hrsp_5xx"));
    let (sessions, not_connected, bad_answers) = (column("stot"), column("econ"), column("eresp"));
    let (retries, moved, chosen) = (column("wretr"), column("wredis"), column("lbtot"));
    let given_up = column("cli_abrt");
    let address = column("addr");
    let rows = lines.filter(|line| !line.trim().is_empty()).map(|line| {
        let fields = fields(line);
        let text = |at: Option<usize>| at.and_then(|at| fields.get(at)).map_or("", String::as_str);
        let number = |at: Option<usize>| text(at).parse::<u64>().ok();
        let sum = |columns: &[Option<usize>]| columns.iter().filter_map(|at| number(*at)).sum();
        let count = |at| number(at).unwrap_or(0);
        let tries = Tries {
            sessions: count(sessions),
            retries: count(retries),
            moved: count(moved),
            chosen: count(chosen),
            bad_answers: count(bad_answers),
        };
        let errors = count(not_connected) + count(bad_answers).saturating_sub(tries.answers_tried_again());
        let counters = match number(failed) {
            Some(answered) => {
                let with_status: u64 = sum(&responses);
                let ended = tries.requests().saturating_sub(sum(&[in_flight, given_up]));
                let unanswered = ended.saturating_sub(with_status).max(errors);
                Counters { responses: with_status + unanswered, failures: answered + unanswered }
            }
            // Empty in a TCP backend.
            None => Counters { responses: tries.requests(), failures: errors },
        };
        Row {
            proxy: text(proxy).to_owned(),
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

/// How often a server was tried, of which `stot` counts every time.
struct Tries {
    /// `stot`: attempts at a connection, those with one that was open included.
    sessions: u64,
    /// `wretr`: connections that were tried again. An answer that is tried again (`retry-on`) counts twice, or here and in `moved`.
    retries: u64,
    /// `wredis`: requests that went on to another server.
    moved: u64,
    /// `lbtot`: how often the server was chosen, which a retry does not do again; nor does a cookie, or leaving a queue.
    chosen: u64,
    /// `eresp`: those that were tried again included.
    bad_answers: u64,
}

impl Tries {
    fn without_repeats(&self) -> u64 {
        self.sessions.saturating_sub(self.retries + self.moved)
    }

    /// Bad answers that no client saw. Each was taken away once too often by [`Tries::without_repeats`], and how often the server was
    /// chosen tells by how much.
    fn answers_tried_again(&self) -> u64 {
        let chosen_and_stayed = self.chosen.saturating_sub(self.moved);
        chosen_and_stayed.saturating_sub(self.without_repeats()).min(self.bad_answers)
    }

    /// Those that the server had the last word on, or has yet to have.
    fn requests(&self) -> u64 {
        self.without_repeats() + self.answers_tried_again()
    }
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
                proxy: "web".into(),
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

    /// As HAProxy 2.6 shows them: `refused` refused the first tries at a connection, `away` all of them, so that its requests went to
    /// `other`; with `retry-on all-retryable-errors`, `reset` closed every other connection, and `shared` too, whose requests went on to
    /// another server. All clients got a 200. Nobody ever reached `dead`.
    const TRIED_AGAIN: &str = "# svname,scur,stot,econ,eresp,wretr,wredis,status,lbtot,hrsp_2xx,hrsp_5xx,cli_abrt\n\
         refused,0,6,0,0,2,0,UP,4,4,0,0\naway,0,6,0,0,0,6,UP,6,0,0,0\nother,0,6,0,0,0,0,UP,6,6,0,0\n\
         reset,0,8,0,4,8,0,UP,4,4,0,0\nshared,0,4,0,2,2,2,UP,4,2,0,0\ndead,0,4,1,0,3,0,UP,1,0,0,0\n";

    #[test]
    fn what_went_well_at_a_later_try_is_no_failure() {
        let rows = parse(TRIED_AGAIN).unwrap();
        let counted: Vec<_> =
            rows.iter().map(|row| (row.server.as_str(), row.counters.responses, row.counters.failures)).collect();
        assert_eq!(
            counted,
            [("refused", 4, 0), ("away", 0, 0), ("other", 6, 0), ("reset", 4, 0), ("shared", 2, 0), ("dead", 1, 1)]
        );
    }

    #[test]
    fn among_retries_a_request_without_an_answer_is_still_seen() {
        // Ten requests, of which three were tried again and two were closed without an answer; one server was found by a cookie.
        let rows = parse(
            "# svname,scur,stot,econ,eresp,wretr,wredis,status,lbtot,hrsp_2xx,hrsp_5xx,cli_abrt\n\
             s1,0,13,0,0,3,0,UP,10,8,0,0\ns2,0,13,0,0,3,0,UP,0,8,0,0\n",
        )
        .unwrap();
        for row in rows {
            assert_eq!(row.counters, Counters { responses: 10, failures: 2 }, "{}", row.server);
        }
    }

    #[test]
    fn of_a_tcp_backend_connections_are_counted() {
        let rows = parse("# svname,stot,econ,eresp,wretr,status,hrsp_5xx\ns1,9,1,2,0,UP,\ns2,4,1,0,3,UP,\n").unwrap();
        assert_eq!(rows[0].counters, Counters { responses: 9, failures: 3 });
        assert_eq!(rows[1].counters, Counters { responses: 1, failures: 1 }, "tried four times");
    }

    #[test]
    fn what_is_no_table_is_none() {
        for text in ["", "No such proxy.\n\n", "# a,b\n"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
