//! The console, embedded: its files, and one page for each of its screens.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::problem::Problem;

/// `web-console/dist`: embedded in a release, read from the folder in a development build, and empty where the console
/// was never built.
#[derive(RustEmbed)]
#[folder = "../../web-console/dist"]
#[allow_missing = true]
struct Files;

/// The screens; each is the same page, which reads the address itself.
const SCREENS: [&str; 6] = ["/", "/wall", "/alarms", "/query", "/field", "/system"];
const PAGE: &str = "index.html";
const NOT_BUILT: &str = "the console is not built: run `make console`, then start hexwatch again\n";

/// What no door answers: a screen, a file of the console, or nothing.
pub(crate) async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path();
    if !matches!(method, Method::GET | Method::HEAD) {
        return nothing(path).into_response();
    }
    if SCREENS.contains(&path) {
        return Files::get(PAGE).map_or_else(
            || (StatusCode::SERVICE_UNAVAILABLE, NOT_BUILT).into_response(),
            |page| answer(PAGE, page, &headers),
        );
    }
    let name = path.trim_start_matches('/');
    match Files::get(name) {
        Some(file) => answer(name, file, &headers),
        None => nothing(path).into_response(),
    }
}

fn nothing(path: &str) -> Problem {
    Problem::not_found(format!("nothing is at {path}")).field("path").fix("see /api/v1/openapi.json")
}

fn answer(name: &str, file: EmbeddedFile, headers: &HeaderMap) -> Response {
    let tag = entity_tag(&file);
    let mut response = if is_known(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = HeaderValue::from_str(file.metadata.mimetype())
            .unwrap_or(HeaderValue::from_static("application/octet-stream"));
        ([(header::CONTENT_TYPE, kind)], Body::from(file.data.into_owned())).into_response()
    };
    let out = response.headers_mut();
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(lifetime(name)));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        out.insert(header::ETAG, tag);
    }
    response
}

/// Names under `assets/` carry a hash of their content.
fn lifetime(name: &str) -> &'static str {
    if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" }
}

/// Weak, since the same file may go out compressed.
fn entity_tag(file: &EmbeddedFile) -> String {
    use std::fmt::Write as _;
    let hash = file.metadata.sha256_hash();
    hash.iter().take(12).fold(String::from("W/\""), |mut tag, byte| {
        let _ = write!(tag, "{byte:02x}");
        tag
    }) + "\""
}

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    given.is_some_and(|given| given.split(',').any(|known| known.trim() == tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_screen_is_the_page_or_says_how_to_build_it() {
        for screen in SCREENS {
            let response = serve(Method::GET, screen.parse().unwrap(), HeaderMap::new()).await;
            let expected =
                if Files::get(PAGE).is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            assert_eq!(response.status(), expected, "{screen}");
        }
    }

    #[tokio::test]
    async fn an_unknown_address_is_not_answered_with_the_page() {
        for path in ["/nowhere", "/wall/1", "/api/v1/nothing", "/../Cargo.toml"] {
            let response = serve(Method::GET, path.parse().unwrap(), HeaderMap::new()).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn only_hashed_names_are_cached_for_good() {
        assert!(lifetime("assets/index-B2x.js").contains("immutable"));
        assert_eq!(lifetime("index.html"), "no-cache");
    }
}
