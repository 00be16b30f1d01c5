//! Objects of the configuration, by section and name. What is said here lies over the files, is kept, and takes effect at once.

use super::Routes;
use crate::Api;
use crate::configuration::{IfMatch, Object, Order};
use crate::extract::{At, Optional, Params, bad};
use crate::paging::{List, Slice, Slicing, part};
use crate::precondition::{IfNoneMatch, put_over, seen, tagged};
use crate::problem::{Mistake, Problem};
use crate::schema::{of, taken};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use quarterdeck_config::{nearest, push, sections};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa_axum::routes;

pub(super) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(list_configuration_objects))
        .routes(routes!(get_configuration_object, put_configuration_object, delete_configuration_object))
        .routes(routes!(reset_configuration_object))
}

/// The object as a file would hold it: its section's keys. What is left out has its default.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
struct NewObject(Map<String, Value>);

/// An object after a change.
#[derive(Debug, Serialize, JsonSchema)]
struct Changed {
    #[serde(flatten)]
    object: Object,
    /// What of it is in force, and can't work as things stand.
    warnings: Vec<Mistake>,
}

/// Objects, by section and name: those in force, and those that the API has deleted.
#[utoipa::path(get, path = "/configuration/objects", tag = "configuration",
    params(Slicing,
        ("section" = Option<String>, Query, description = "Only those of this section: `rules`."),
        ("api" = Option<bool>, Query, description = "`true`: only those that the API has said something about.")),
    responses((status = 200, description = "Objects.", body = ref(of::<List<Object>>()))))]
async fn list_configuration_objects(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Json<List<Object>>, Problem> {
    read(&api, &params).map(Json)
}

/// Also for the console.
pub(crate) fn read(api: &Api, params: &Params) -> Result<List<Object>, Problem> {
    let section = params.text("section")?;
    if let Some(named) = section.filter(|named| !sections().any(|known| known == *named)) {
        return Err(bad("section", &no_section(named)));
    }
    let said = params.parsed("api", "`true` or `false`", |text| text.parse().ok())?.unwrap_or(false);
    let mut objects = api.options.configuration.objects();
    objects.retain(|object| section.is_none_or(|section| object.section == section) && (!said || object.api.is_some()));
    let keyed = objects.into_iter().map(|object| (format!("{}/{}", object.section, object.name), object));
    let Json(List { items, next_cursor, unreadable }) = part(keyed, &Slice::of(params)?, |(key, _)| key);
    Ok(List { items: items.into_iter().map(|(_, object)| object).collect(), next_cursor, unreadable })
}

/// One object.
#[utoipa::path(get, path = "/configuration/objects/{section}/{name}", tag = "configuration",
    params(IfNoneMatch, ("section" = String, Path, description = "`instances`"),
        ("name" = String, Path, description = "Its slash as `%2F`: `http-probe%2Fshop`.")),
    responses((status = 200, description = "The object.", body = ref(of::<Object>()))))]
async fn get_configuration_object(
    State(api): State<Arc<Api>>,
    At((section, name)): At<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    match api.options.configuration.object(&section, &name) {
        Some(object) => Ok(tagged(&headers, StatusCode::OK, &object.tag(), &object)),
        None => Err(unknown(&section, &name)),
    }
}

/// Sets the whole object, over what the files say. Doing it again changes nothing. A mistake changes nothing either.
#[utoipa::path(put, path = "/configuration/objects/{section}/{name}", tag = "configuration",
    request_body(content = ref(taken::<NewObject>()), content_type = "application/json"),
    params(("section" = String, Path, description = "`instances`"),
        ("name" = String, Path, description = "Its slash as `%2F`: `http-probe%2Fshop`."),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is no object of that name. Takes nothing else."),
        ("If-Match" = Option<String>, Header, description = "ETag of the object as it was seen.")),
    responses((status = 200, description = "It is in force.", body = ref(of::<Changed>())),
        (status = 201, description = "It is new, and in force.", body = ref(of::<Changed>()))))]
async fn put_configuration_object(
    State(api): State<Arc<Api>>,
    At((section, name)): At<(String, String)>,
    headers: HeaderMap,
    Optional(NewObject(value)): Optional<NewObject>,
) -> Result<Response, Problem> {
    let configuration = &api.options.configuration;
    let is_new = configuration.object(&section, &name).is_none_or(|object| object.value.is_none());
    configuration.change(&section, &name, Order::Set(value), IfMatch(put_over(&headers)?)).await?;
    shown(&api, &section, &name, if is_new { StatusCode::CREATED } else { StatusCode::OK })
}

/// Takes the object away, also where files declare it. `reset` brings that one back.
#[utoipa::path(delete, path = "/configuration/objects/{section}/{name}", tag = "configuration",
    params(("section" = String, Path, description = "`instances`"),
        ("name" = String, Path, description = "Its slash as `%2F`: `http-probe%2Fshop`."),
        ("If-Match" = Option<String>, Header, description = "ETag of the object as it was seen.")),
    responses((status = 200, description = "It is not in force any more.", body = ref(of::<Changed>()))))]
async fn delete_configuration_object(
    State(api): State<Arc<Api>>,
    At((section, name)): At<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    api.options.configuration.change(&section, &name, Order::Delete, IfMatch(seen(&headers))).await?;
    shown(&api, &section, &name, StatusCode::OK)
}

/// Takes back what the API has said about the object: what the files say holds again.
#[utoipa::path(post, path = "/configuration/objects/{section}/{name}/reset", tag = "configuration",
    params(("section" = String, Path, description = "`instances`"),
        ("name" = String, Path, description = "Its slash as `%2F`: `http-probe%2Fshop`."),
        ("If-Match" = Option<String>, Header, description = "ETag of the object as it was seen.")),
    responses((status = 200, description = "The object as it is now.", body = ref(of::<Changed>()))))]
async fn reset_configuration_object(
    State(api): State<Arc<Api>>,
    At((section, name)): At<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    api.options.configuration.change(&section, &name, Order::Reset, IfMatch(seen(&headers))).await?;
    shown(&api, &section, &name, StatusCode::OK)
}

fn shown(api: &Api, section: &str, name: &str, status: StatusCode) -> Result<Response, Problem> {
    // One that only the API knew of is gone with its word.
    let object = api.options.configuration.object(section, name).unwrap_or_else(|| Object {
        section: section.to_owned(),
        name: name.to_owned(),
        value: None,
        origin: None,
        api: None,
        problem: None,
    });
    let (tag, warnings) = (object.tag(), about(section, name, api.options.configuration.standing().warnings));
    Ok(tagged(&HeaderMap::new(), status, &tag, &Changed { object, warnings }))
}

/// Those of the mistakes that are about the object.
pub(crate) fn about(section: &str, name: &str, mut mistakes: Vec<Mistake>) -> Vec<Mistake> {
    let pointer = push(&push("", section), name);
    let below = format!("{pointer}/");
    mistakes.retain(|mistake| mistake.path == pointer || mistake.path.starts_with(&below));
    mistakes
}

fn no_section(named: &str) -> String {
    let hint = match nearest(named, sections()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("there are {}", sections().collect::<Vec<_>>().join(", ")),
    };
    format!("there is no section `{named}`; hint: {hint}")
}

pub(crate) fn unknown(section: &str, name: &str) -> Problem {
    if !sections().any(|known| known == section) {
        return Problem::not_found(no_section(section));
    }
    Problem::not_found(format!(
        "there is no `{name}` in the section `{section}`; hint: list `configuration/objects` to see what there is"
    ))
}
