//! What a query evaluates to, as JSON: written by hand, since there may be millions of points, and a number's form is Prometheus's.

use quarterdeck_model::label::Labels;
use quarterdeck_promql::{Answer, Number, Point, Value};
use std::io::Write;

/// The whole answer. Points are let go of as they are written.
pub(super) fn answer(answer: Answer) -> Vec<u8> {
    let Answer { value, warnings, infos } = answer;
    let mut out = b"{\"status\":\"success\",\"data\":{\"resultType\":\"".to_vec();
    match value {
        Value::Scalar { at, value } => {
            out.extend_from_slice(b"scalar\",\"result\":");
            point(&mut out, Point { at, value });
        }
        Value::Text { at, value } => {
            out.extend_from_slice(b"string\",\"result\":[");
            seconds(&mut out, at.as_millis());
            out.push(b',');
            text(&mut out, &value);
            out.push(b']');
        }
        Value::Vector(samples) => {
            out.extend_from_slice(b"vector\",\"result\":[");
            list(&mut out, samples, |out, sample| {
                metric(out, &sample.labels);
                out.extend_from_slice(b",\"value\":");
                point(out, sample.point);
                out.push(b'}');
            });
            out.push(b']');
        }
        Value::Matrix(series) => {
            out.extend_from_slice(b"matrix\",\"result\":[");
            list(&mut out, series, |out, series| {
                metric(out, &series.labels);
                out.extend_from_slice(b",\"values\":[");
                list(out, series.points, point);
                out.extend_from_slice(b"]}");
            });
            out.push(b']');
        }
    }
    out.push(b'}');
    for (name, notes) in [("warnings", warnings), ("infos", infos)] {
        if !notes.is_empty() {
            let _ = write!(out, ",\"{name}\":[");
            list(&mut out, notes, |out, note| text(out, &note));
            out.push(b']');
        }
    }
    out.push(b'}');
    out
}

fn list<T>(out: &mut Vec<u8>, items: Vec<T>, write: impl Fn(&mut Vec<u8>, T)) {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
}

fn metric(out: &mut Vec<u8>, labels: &Labels) {
    out.extend_from_slice(b"{\"metric\":{");
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        text(out, name);
        out.push(b':');
        text(out, value);
    }
    out.push(b'}');
}

fn text(out: &mut Vec<u8>, text: &str) {
    // Writing a text to memory can't fail.
    let _ = serde_json::to_writer(out, text);
}

fn point(out: &mut Vec<u8>, point: Point) {
    out.push(b'[');
    seconds(out, point.at.as_millis());
    out.extend_from_slice(b",\"");
    number(out, point.value);
    out.extend_from_slice(b"\"]");
}

/// Seconds, with three digits behind the point unless they are zero.
fn seconds(out: &mut Vec<u8>, millis: i64) {
    let sign = if millis < 0 { "-" } else { "" };
    let (whole, fraction) = (millis.unsigned_abs() / 1000, millis.unsigned_abs() % 1000);
    let _ = match fraction {
        0 => write!(out, "{sign}{whole}"),
        fraction => write!(out, "{sign}{whole}.{fraction:03}"),
    };
}

/// As Prometheus's API writes it: very large and very small ones with an exponent.
fn number(out: &mut Vec<u8>, value: f64) {
    let size = value.abs();
    let _ = if size != 0.0 && size.is_finite() && !(1e-6..1e21).contains(&size) {
        write!(out, "{}", exponential(value))
    } else {
        write!(out, "{}", Number(value))
    };
}

/// With an exponent of a sign and two digits at least, as Go writes it: `1.5e-07`.
pub(super) fn exponential(value: f64) -> String {
    if !value.is_finite() {
        return Number(value).to_string();
    }
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::Timestamp;
    use quarterdeck_model::series::query::STALE;
    use quarterdeck_promql::{Sample, Series};
    use std::sync::Arc;

    fn written(value: Value) -> String {
        String::from_utf8(answer(Answer { value, warnings: Vec::new(), infos: Vec::new() })).unwrap()
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn numbers_are_written_as_prometheus_writes_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.5e21, "-1.5e+21"),
            (1e-6, "0.000001"),
            (1.5e-7, "1.5e-07"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (f64::NAN, "NaN"),
            (f64::from_bits(STALE), "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
        assert_eq!((exponential(1.0).as_str(), exponential(f64::NAN).as_str()), ("1e+00", "NaN"));
    }

    #[test]
    fn times_have_milliseconds_only_where_they_are_not_zero() {
        for (millis, text) in [
            (0, "0"),
            (1_435_781_451_000, "1435781451"),
            (1_435_781_451_070, "1435781451.070"),
            (1, "0.001"),
            (-1_500, "-1.500"),
        ] {
            let mut out = Vec::new();
            seconds(&mut out, millis);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn each_kind_of_value_has_its_own_form() {
        let labels = Arc::new(Labels::new().with("__name__", "up").with("kürzel", "a\"b\n"));
        let point = Point { at: at(1_500), value: 1.0 };
        let head = |kind| format!("{{\"status\":\"success\",\"data\":{{\"resultType\":\"{kind}\",\"result\":");
        let metric = "{\"metric\":{\"__name__\":\"up\",\"kürzel\":\"a\\\"b\\n\"}";
        let scalar = Value::Scalar { at: at(1_000), value: f64::INFINITY };
        assert_eq!(written(scalar), head("scalar") + "[1,\"+Inf\"]}}");
        let string = Value::Text { at: at(1_000), value: "a\"".to_owned() };
        assert_eq!(written(string), head("string") + "[1,\"a\\\"\"]}}");
        let vector = Value::Vector(vec![Sample { labels: labels.clone(), point }]);
        assert_eq!(written(vector), head("vector") + "[" + metric + ",\"value\":[1.500,\"1\"]}]}}");
        assert_eq!(written(Value::Vector(Vec::new())), head("vector") + "[]}}");
        let points = vec![point, Point { at: at(2_500), value: 2.5 }];
        let matrix = Value::Matrix(vec![
            Series { labels: labels.clone(), points: points.clone() },
            Series { labels: Arc::new(Labels::new()), points },
        ]);
        let values = "\"values\":[[1.500,\"1\"],[2.500,\"2.5\"]]}";
        assert_eq!(written(matrix), head("matrix") + "[" + metric + "," + values + ",{\"metric\":{}," + values + "]}}");
    }

    #[test]
    fn warnings_and_remarks_stand_behind_the_data() {
        let value = Value::Vector(Vec::new());
        let noted = Answer { value, warnings: vec!["a".to_owned(), "b".to_owned()], infos: vec!["c".to_owned()] };
        let text = String::from_utf8(answer(noted)).unwrap();
        assert!(text.ends_with("\"result\":[]},\"warnings\":[\"a\",\"b\"],\"infos\":[\"c\"]}"), "{text}");
    }
}
