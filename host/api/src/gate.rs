//! What every request passes, whatever its route.

use crate::document::document;
use crate::extract::Params;
use crate::problem::Problem;
use crate::{Api, alertmanager, console, idempotency, intake, otlp, prometheus, samples, security};
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::Method;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

pub(crate) async fn gate(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let in_its_form = route.as_deref().is_some_and(prometheus::has);
    let is_query = route.as_deref().is_some_and(prometheus::reads);
    let is_alertmanager = route.as_deref().is_some_and(alertmanager::has);
    let otlp = route.as_deref().filter(|route| otlp::has(route)).map(|_| otlp::Encoding::of(request.headers()));
    // Its handler takes the body in, which may be large, and sending it again does no harm.
    let is_console = console::has(request.uri());
    let uri = request.uri().clone();
    if is_console {
        request.extensions_mut().insert(console::view::Asked(uri.clone()));
    }
    let is_samples = route.as_deref().is_some_and(samples::is_one);
    let answered = async {
        admit(&api, &request, is_query, is_console)?;
        if let Some(to) = console::without_slash(&uri).filter(|_| method.is_safe()) {
            return console::go(&to);
        }
        if is_console && console::takes_bytes(&uri) && !method.is_safe() {
            // Before anything of what is sent is taken in, which may be much.
            console::form::admit(&api, request.headers(), &uri).await?;
        }
        // Programs of others may send more parameters than are known here.
        if !is_query && !is_alertmanager && !is_samples && !is_console {
            check_parameters(&request, route.as_deref())?;
        }
        if method.is_safe() || is_query || is_samples {
            read(request, next).await
        } else {
            change(&api, request, route.as_deref(), next).await
        }
    };
    let mut response = answered.await.unwrap_or_else(|problem| {
        if is_console {
            console::failure::refuse(&api, &uri, problem)
        } else if in_its_form {
            prometheus::Failure::from(problem).into_response()
        } else if is_alertmanager {
            alertmanager::Failure::from(problem).into_response()
        } else if let Some(encoding) = otlp {
            otlp::Failure::of(problem, encoding).into_response()
        } else {
            problem.into_response()
        }
    });
    security::harden(response.headers_mut());
    let took = started.elapsed();
    api.requests.count(&method, route.as_deref().unwrap_or("none"), response.status(), took);
    tracing::debug!(%method, route, status = response.status().as_u16(), ?took, "request");
    response
}

/// A query only reads, however it is asked. The console has sessions instead of the token.
fn admit(api: &Api, request: &Request, is_query: bool, is_console: bool) -> Result<(), Problem> {
    let headers = request.headers();
    let host = security::check_host(headers, request.uri(), &api.options.allowed_hosts)?;
    security::check_origin(headers, &host)?;
    let method = if is_query { &Method::GET } else { request.method() };
    if is_console {
        return Ok(());
    }
    if security::needs_token(method, request.uri(), headers, &host, api.options.reads_need_token) {
        security::check_token(headers, api.options.token.as_deref())?;
    }
    Ok(())
}

/// A misspelt filter would show everything: better to say so.
fn check_parameters(request: &Request, route: Option<&str>) -> Result<(), Problem> {
    let (Some(query), Some(route)) = (request.uri().query(), route) else { return Ok(()) };
    let Some(known) = document().parameters(request.method(), route) else { return Ok(()) };
    let params = Params::read(query)?;
    match params.names().find(|name| !known.contains(*name)) {
        None => Ok(()),
        Some(name) => {
            let known = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let hint = if known.is_empty() { "there are none here".to_owned() } else { format!("there are {known}") };
            Err(Problem::malformed(format!("there is no parameter `{name}`; hint: {hint}"))
                .mistake(name, "there is no such parameter"))
        }
    }
}

async fn read(request: Request, next: Next) -> Result<Response, Problem> {
    AssertUnwindSafe(next.run(request)).catch_unwind().await.map_err(|_| broken())
}

/// Runs to its end even if the client hangs up.
async fn change(api: &Arc<Api>, mut request: Request, route: Option<&str>, next: Next) -> Result<Response, Problem> {
    let is_console = console::has(request.uri());
    if is_console {
        // An answer that is kept would be given to whoever sends the key, signed in or not.
        request.headers_mut().remove("idempotency-key");
    }
    let sends_bytes = is_console && console::takes_bytes(request.uri());
    let is_component = sends_bytes || route.is_some_and(|route| document().takes_bytes(request.method(), route));
    // Held until the answer. Never closed; without a permit it would only cost memory.
    let _upload = if is_component { api.uploads.acquire().await.ok() } else { None };
    // Many alerts may come at once, and are held until they are taken in.
    let mut room = route.is_some_and(alertmanager::takes_many).then(|| api.alerts.room());
    let expected = match &room {
        Some(_) => intake::json(alertmanager::largest(api)),
        None if is_component => intake::COMPONENT,
        None if is_console => intake::form(console::form::largest(request.uri())),
        None => intake::json(api.options.body_limit),
    };
    let request = intake::take_in_within(request, expected, room.as_mut()).await?;
    let shared = Arc::clone(api);
    let work = async move {
        let _room = room;
        let run = |request: Request<bytes::Bytes>| next.run(request.map(Body::from));
        idempotency::once(&shared, request, run).await
    };
    api.tasks.spawn(work).await.unwrap_or_else(|_| Err(broken()))
}

fn broken() -> Problem {
    Problem::internal("the request met a defect of this program; hint: the log says where, please report it")
}
