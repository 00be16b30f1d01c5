//! The configuration in force as files: in an empty folder they give the same.

use super::tabs;
use crate::console::address;
use crate::console::view::View;
use crate::console::widgets::{self, bytes, text};
use crate::extract::At;
use crate::paging::blocking;
use crate::problem::Problem;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use maud::html;
use quarterdeck_config::File;
use std::sync::Arc;

const BASE: &str = "/console/configuration/export";
/// Characters of a file that are shown. The file itself has all of them.
const LONGEST: usize = 60_000;

async fn files(view: &View) -> Result<Vec<File>, Problem> {
    let configuration = Arc::clone(&view.api.options.configuration);
    blocking(move || configuration.export().map_err(Problem::internal)).await
}

/// The address of a file: its folders are segments.
fn at(path: &str) -> String {
    path.split('/').fold(BASE.to_owned(), |base, segment| address::below(&base, segment))
}

pub(super) async fn show(view: View) -> Result<Response, Problem> {
    let files = files(&view).await?;
    let mut left = LONGEST;
    // As much of each as there is room for on the page, and whether that is all of it.
    let shown: Vec<(&File, &str, bool)> = files
        .iter()
        .map(|file| {
            let end = file.text.char_indices().nth(left).map_or(file.text.len(), |(end, _)| end);
            left = left.saturating_sub(end);
            (file, file.text.get(..end).unwrap_or_default(), end == file.text.len())
        })
        .collect();
    let content = html! {
        h1 { "Export" }
        (tabs(&view))
        p { "Read in an empty folder, these files give the same configuration. Secrets are named, never told. All at once, into a folder:" }
        (widgets::command("quarterdeck config export <folder>"))
        @for (file, text_of, whole) in &shown {
            (widgets::section(&file.path, html! {
                p { a.button href=(at(&file.path)) download { "Download" } " " span.muted { (bytes(u64::try_from(file.text.len()).unwrap_or(u64::MAX))) } }
                pre.json tabindex="0" { code { (text(text_of)) } }
                @if !whole { p.muted { "The rest is in the file." } }
            }))
        }
    };
    Ok(view.page("Export", content))
}

pub(super) async fn download(view: View, At(path): At<String>) -> Result<Response, Problem> {
    let file = files(&view).await?.into_iter().find(|file| file.path == path);
    let file = file.ok_or_else(|| {
        Problem::not_found(format!("the export has no file `{path}`; hint: look at the list of its files"))
    })?;
    let name: String = path
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|one| one.is_ascii_alphanumeric() || "-_.".contains(*one))
        .collect();
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((headers, file.text).into_response())
}
