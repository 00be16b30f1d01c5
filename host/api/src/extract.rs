//! What handlers take: path, query and body, each with a problem document for what does not fit.

use crate::Api;
use crate::intake::COMPONENT_LIMIT;
use crate::problem::Problem;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use bytes::Bytes;
use http::request::Parts;
use quarterdeck_formats::strict::Strict;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Parts of the path.
pub(crate) struct At<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Api>> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, api).await {
            Ok(Path(value)) => Ok(At(value)),
            Err(rejection) => Err(unreadable(rejection)),
        }
    }
}

/// Which part of a path does not fit, and how it is written.
fn unreadable(rejection: PathRejection) -> Problem {
    let PathRejection::FailedToDeserializePathParams(failed) = rejection else {
        return Problem::internal(rejection.to_string());
    };
    match failed.into_kind() {
        ErrorKind::ParseError { value, .. }
        | ErrorKind::ParseErrorAtKey { value, .. }
        | ErrorKind::ParseErrorAtIndex { value, .. } => Problem::malformed(format!(
            "`{value}` in the path is not a whole number; hint: write it in digits, like `20`"
        )),
        ErrorKind::InvalidUtf8InPathParam { key } => Problem::malformed(format!(
            "the part `{key}` of the path is not UTF-8; hint: write it in UTF-8, and what is no letter or digit of ASCII as `%` and two \
             hexadecimal digits a byte: `%2F` for a slash"
        ))
        .mistake(key, "it is not UTF-8"),
        other => Problem::malformed(format!(
            "the path can't be read: {other}; hint: follow a link that a list gives, or look at /api/v1/openapi.json"
        )),
    }
}

pub(crate) const NO_BODY: &str = "there is no body; hint: send a JSON document";

/// A JSON body. Content type, size and time-out were seen to before (see `intake`).
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        let bytes = axum::body::to_bytes(request.into_body(), api.options.body_limit)
            .await
            .map_err(|error| Problem::malformed(format!("the body can't be read: {error}")))?;
        if bytes.is_empty() {
            return Err(Problem::malformed(NO_BODY));
        }
        read(&bytes).map(Body)
    }
}

/// A component as the body. Content type, size and time-out were seen to before (see `intake`).
pub(crate) struct Component(pub(crate) Bytes);

impl FromRequest<Arc<Api>> for Component {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<Api>) -> Result<Self, Problem> {
        let bytes = axum::body::to_bytes(request.into_body(), COMPONENT_LIMIT)
            .await
            .map_err(|error| Problem::malformed(format!("the body can't be read: {error}")))?;
        if bytes.is_empty() {
            return Err(Problem::malformed("there is no body; hint: send the component"));
        }
        Ok(Component(bytes))
    }
}

/// A JSON body that may be left out.
pub(crate) struct Optional<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequest<Arc<Api>> for Optional<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        let bytes = axum::body::to_bytes(request.into_body(), api.options.body_limit)
            .await
            .map_err(|error| Problem::malformed(format!("the body can't be read: {error}")))?;
        if bytes.is_empty() { Ok(Optional(T::default())) } else { read(&bytes).map(Optional) }
    }
}

/// What a JSON document stands for, or what is wrong with it and where.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(Strict(&mut json)).map_err(|error| {
        let path = match error.path().to_string() {
            whole if whole == "." => String::new(),
            path => path,
        };
        let inner = error.into_inner();
        match inner.classify() {
            serde_json::error::Category::Data => {
                let at = if path.is_empty() { "the body".to_owned() } else { format!("`{path}`") };
                Problem::invalid(format!("{at} is not as expected: {inner}")).mistake(path, inner.to_string())
            }
            _ => Problem::malformed(format!("the body is not JSON: {inner}")),
        }
    })?;
    json.end().map_err(|error| Problem::malformed(format!("the body is not one JSON document: {error}")))?;
    Ok(value)
}

/// The query, as pairs in the order given. Names that the operation does not have were refused before (see `gate`).
#[derive(Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl FromRequestParts<Arc<Api>> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Problem> {
        Params::read(parts.uri.query().unwrap_or_default())
    }
}

impl Params {
    pub(crate) fn read(query: &str) -> Result<Self, Problem> {
        let uri = http::Uri::builder().path_and_query(format!("/?{query}")).build();
        let pairs = uri.ok().and_then(|uri| axum::extract::Query::try_from_uri(&uri).ok());
        match pairs {
            Some(axum::extract::Query(pairs)) => Ok(Params(pairs)),
            None => Err(Problem::malformed(
                "the query can't be read; hint: write it as `name=value&name=value`, each encoded as in `label=a%3Db`",
            )),
        }
    }

    /// A page's form sends the fields that nothing was chosen in as well.
    pub(crate) fn without_empty(mut self) -> Self {
        self.0.retain(|(_, value)| !value.is_empty());
        self
    }

    /// A choice of a page that stands for several values has commas between them.
    pub(crate) fn split(&self, name: &str) -> Self {
        let several = |(found, value): &(String, String)| {
            let parts: Vec<&str> = if found == name { value.split(',').collect() } else { vec![value] };
            parts.into_iter().map(|part| (found.clone(), part.to_owned())).collect::<Vec<_>>()
        };
        Params(self.0.iter().flat_map(several).collect())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// All values of a parameter that may be repeated.
    pub(crate) fn many<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that may be given once.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let first = values.next();
        match values.next() {
            None => Ok(first),
            Some(_) => Err(bad(name, "it is given more than once; hint: give it once")),
        }
    }

    pub(crate) fn needed(&self, name: &str) -> Result<&str, Problem> {
        self.text(name)?.ok_or_else(|| bad(name, &format!("it is needed; hint: add `{name}=...` to the query")))
    }

    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        self.parsed(name, "a whole number like `20`", |text| text.parse().ok())
    }

    /// `expected` says what it is, with an example: "a span like `1h`".
    pub(crate) fn parsed<T>(
        &self,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        match self.text(name)? {
            None => Ok(None),
            Some(text) => match parse(text) {
                Some(value) => Ok(Some(value)),
                None => Err(bad(name, &format!("`{text}` is not {expected}; hint: give {expected}, or leave it out"))),
            },
        }
    }

    /// Words of an enumeration, as many as there are.
    pub(crate) fn words<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>, Problem> {
        self.many(name).map(|text| one_of(name, text)).collect()
    }

    /// One of the words of an enumeration.
    pub(crate) fn word<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Problem> {
        self.text(name)?.map(|text| one_of(name, text)).transpose()
    }
}

fn one_of<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, Problem> {
    let word: StrDeserializer<'_, NoWord> = text.into_deserializer();
    T::deserialize(word).map_err(|why| bad(name, &format!("there is no `{text}`; hint: {why}")))
}

/// Why a text is no word of an enumeration, as what to do.
#[derive(Debug)]
enum NoWord {
    /// Those that there are.
    Known(&'static [&'static str]),
    Other(String),
}

impl fmt::Display for NoWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoWord::Known(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                match quoted.split_last() {
                    Some((last, others)) if !others.is_empty() => write!(f, "choose {} or {last}", others.join(", ")),
                    _ => write!(f, "choose {}", quoted.concat()),
                }
            }
            NoWord::Other(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for NoWord {}

impl serde::de::Error for NoWord {
    fn custom<T: fmt::Display>(why: T) -> Self {
        NoWord::Other(why.to_string())
    }

    fn unknown_variant(_: &str, words: &'static [&'static str]) -> Self {
        NoWord::Known(words)
    }
}

/// A parameter that does not fit. `why` says what is wrong with it and, behind `; hint: `, what to do about that.
pub(crate) fn bad(name: &str, why: &str) -> Problem {
    let (wrong, hint) = why.rsplit_once("; hint: ").unwrap_or((why, "give another value, or leave it out"));
    Problem::malformed(format!("the parameter `{name}` can't be used: {wrong}; hint: {hint}")).mistake(name, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::Severity;

    #[test]
    fn a_mistake_in_a_body_names_its_place() {
        #[derive(Debug, serde::Deserialize)]
        struct Step {
            #[serde(rename = "attempts")]
            _attempts: u32,
        }
        #[derive(Debug, serde::Deserialize)]
        struct Runbook {
            #[serde(rename = "steps")]
            _steps: Vec<Step>,
        }
        let problem = read::<Runbook>(br#"{"steps": [{"attempts": 1}, {"attempts": "two"}]}"#).unwrap_err();
        assert_eq!(problem.status, 422);
        assert_eq!(problem.errors[0].path, "steps[1].attempts");
        assert_eq!(read::<Runbook>(b"{").unwrap_err().status, 400);
        assert_eq!(read::<Runbook>(br#"{"steps": []} x"#).unwrap_err().status, 400);
    }

    #[test]
    fn an_object_is_an_object_all_the_way_down() {
        #[derive(Debug, serde::Deserialize)]
        struct Step {
            #[serde(rename = "attempts")]
            _attempts: u32,
        }
        #[derive(Debug, serde::Deserialize)]
        enum Choice {
            #[serde(rename = "some")]
            Some {
                #[serde(rename = "of")]
                _of: u32,
            },
        }
        #[derive(Debug, serde::Deserialize)]
        struct Runbook {
            #[serde(rename = "steps")]
            _steps: Vec<Step>,
            #[serde(rename = "last")]
            _last: Option<Step>,
            #[serde(rename = "choice")]
            _choice: Option<Choice>,
        }
        let good = br#"{"steps": [{"attempts": 1}], "last": {"attempts": 2}, "choice": {"some": {"of": 3}}}"#;
        read::<Runbook>(good).unwrap();
        for (body, path) in [
            (r#"[[], null, null]"#, ""),
            (r#"{"steps": [[1]]}"#, "steps[0]"),
            (r#"{"steps": [], "last": [1]}"#, "last"),
            (r#"{"steps": [], "choice": {"some": [3]}}"#, "choice.some"),
            (r#""text""#, ""),
        ] {
            let problem = read::<Runbook>(body.as_bytes()).unwrap_err();
            assert_eq!((problem.status, problem.errors[0].path.as_str()), (422, path), "{body}: {}", problem.detail);
            assert!(problem.detail.contains("expected an object"), "{}", problem.detail);
        }
    }

    #[test]
    fn a_parameter_that_does_not_fit_is_named() {
        let params = Params::read("limit=many&severity=loud&label=a%3Db&label=c").unwrap();
        let no_number = params.number::<u32>("limit").unwrap_err();
        assert_eq!(no_number.errors[0].path, "limit");
        assert!(
            no_number.detail.ends_with("hint: give a whole number like `20`, or leave it out"),
            "{}",
            no_number.detail
        );
        let no_word = params.word::<Severity>("severity").unwrap_err();
        assert_eq!(
            no_word.detail,
            "the parameter `severity` can't be used: there is no `loud`; hint: choose `critical`, `high`, `medium`, `low` or `info`"
        );
        assert_eq!(no_word.errors[0].detail, "there is no `loud`");
        assert_eq!(params.many("label").collect::<Vec<_>>(), ["a=b", "c"]);
        assert!(params.text("label").is_err());
        assert!(params.text("absent").unwrap().is_none());
    }
}
