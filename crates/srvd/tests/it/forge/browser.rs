//! A user with a browser, as far as a sign-in requires one: redirects, cookies, and forms that are filled in and
//! submitted.

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use url::Url;

/// A limit that no sign-in reaches, on the number of steps.
const STEPS: usize = 20;

pub(crate) struct Browser {
    client: Client<HttpConnector, Full<Bytes>>,
    cookies: BTreeMap<String, String>,
    login: String,
}

/// The end of a visit.
#[derive(Debug)]
pub(crate) enum End {
    /// The browser was redirected to the callback URL but has not opened it yet.
    Callback(Url),
    /// A page without a form.
    Page(String),
}

impl Browser {
    /// Creates a browser without cookies for a user with this login name.
    pub(crate) fn of(login: &str) -> Self {
        // The server may close a pooled connection while the next request is being sent.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Self { client, cookies: BTreeMap::new(), login: login.to_owned() }
    }

    /// Opens a URL, follows redirects, and submits every form along the way.
    pub(crate) async fn visit(&mut self, address: &str) -> End {
        let mut next = (Url::parse(address).unwrap(), None);
        for _ in 0..STEPS {
            let (place, body) = next;
            let (location, page) = self.ask(&place, body).await;
            next = match location {
                Some(location) => {
                    let target = place.join(&location).unwrap();
                    if matches!(target.path(), "/oauth/callback" | "/oauth/login") {
                        return End::Callback(target);
                    }
                    (target, None)
                }
                None => match self.fill(&page) {
                    Some((action, fields)) => (place.join(&action).unwrap(), Some(fields)),
                    None => return End::Page(page),
                },
            };
        }
        panic!("{address} leads to no final page");
    }

    /// Sends one request, with the form if there is one. Returns the redirect URL, if any, and the body.
    pub(crate) async fn ask(&mut self, place: &Url, form: Option<String>) -> (Option<String>, String) {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let method = if form.is_some() { Method::POST } else { Method::GET };
        let request = Request::builder()
            .method(method)
            .uri(place.as_str())
            .header(COOKIE, cookies.join("; "))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(form.unwrap_or_default())))
            .unwrap();
        let answer = self.client.request(request).await.unwrap();
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let location = answer.headers().get(LOCATION).map(|value| value.to_str().unwrap().to_owned());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (location, String::from_utf8_lossy(&body).into_owned())
    }

    /// Returns the action of a page's form and its fields. The name and a password are filled in if the form has such
    /// fields.
    fn fill(&self, page: &str) -> Option<(String, String)> {
        let (_, form) = page.split_once("<form")?;
        let action = attribute(form, "action")?;
        let mut fields = url::form_urlencoded::Serializer::new(String::new());
        for input in form.split("<input").skip(1) {
            let input = input.split('>').next()?;
            let Some(name) = attribute(input, "name") else { continue };
            let value = match name.as_str() {
                "login" => self.login.clone(),
                "password" => "some password".to_owned(),
                _ => attribute(input, "value").unwrap_or_default(),
            };
            fields.append_pair(&name, &value);
        }
        Some((action, fields.finish()))
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!("{name}=\""))?;
    Some(rest.split('"').next()?.replace("&amp;", "&"))
}
