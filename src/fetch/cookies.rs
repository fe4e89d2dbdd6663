//! Cookies by FFmpeg's rules, which differ from those of browsers (RFC 6265): a cookie without a domain is sent to
//! every host, and one without a path to every path. Preflight and players have to agree on them.

use std::time::SystemTime;

use url::Url;

/// The cookies that a viewer has received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cookies {
    /// Names, and the `Set-Cookie` fields that set them, in the order of their first occurrence.
    fields: Vec<(String, String)>,
}

impl Cookies {
    /// Takes a `Set-Cookie` field of a response from `url`.
    pub fn take(&mut self, field: &str, _url: &Url) {
        let Some((name, _)) = field.split(';').next().and_then(|pair| pair.split_once('=')) else { return };
        let name = name.trim().to_owned();
        let is_over = attribute(field, "expires")
            .and_then(|date| httpdate::parse_http_date(date).ok())
            .is_some_and(|end| end < SystemTime::now());
        match self.fields.iter().position(|(known, _)| *known == name) {
            Some(place) if is_over => drop(self.fields.remove(place)),
            None if is_over => {}
            Some(place) => {
                self.fields.get_mut(place).into_iter().for_each(|known| known.1 = field.to_owned())
            }
            None => self.fields.push((name, field.to_owned())),
        }
    }

    /// The value of `Cookie` in a request for `url`; `None` = there is none.
    #[must_use]
    pub fn of(&self, url: &Url) -> Option<String> {
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let is_sent = |field: &str| {
            attribute(field, "domain").is_none_or(|domain| host.ends_with(&domain.to_ascii_lowercase()))
                && attribute(field, "path").is_none_or(|path| url.path().starts_with(path))
        };
        let sent = self.fields.iter().filter(|(_, field)| is_sent(field));
        let pairs: Vec<&str> = sent.filter_map(|(_, field)| field.split(';').next()).map(str::trim).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// The `Set-Cookie` fields, each on its own line, as FFmpeg's option `-cookies` takes them; `None` = there are
    /// none.
    #[must_use]
    pub fn lines(&self) -> Option<String> {
        let lines: Vec<&str> = self.fields.iter().map(|(_, field)| field.as_str()).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// The values, which may be secrets.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        let pairs = self.fields.iter().filter_map(|(_, field)| field.split(';').next()?.split_once('='));
        pairs.map(|(_, value)| value.trim())
    }
}

/// The value of an attribute of a `Set-Cookie` field, if it is not empty.
fn attribute<'a>(field: &'a str, name: &str) -> Option<&'a str> {
    let found = field
        .split(';')
        .skip(1)
        .filter_map(|one| one.split_once('='))
        .find(|(known, _)| known.trim().eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn cookies_are_sent_as_ffmpeg_sends_them() {
        let mut cookies = Cookies::default();
        let from = url("http://a.test/live/m.m3u8");
        for field in [
            "t=1; Max-Age=600",
            "p=2; Path=/live",
            "d=3; Domain=.a.test; path=/",
            "old=4; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "t=5",
            "none",
        ] {
            cookies.take(field, &from);
        }
        assert_eq!(cookies.of(&url("http://x.a.test/live/1.ts")).as_deref(), Some("t=5; p=2; d=3"));
        assert_eq!(cookies.of(&url("http://b.test/")).as_deref(), Some("t=5"), "no domain: every host");
        assert_eq!(cookies.lines().unwrap(), "t=5\np=2; Path=/live\nd=3; Domain=.a.test; path=/");
        cookies.take("t=; expires=Thu, 01 Jan 1970 00:00:00 GMT", &from);
        assert_eq!(cookies.of(&url("http://b.test/")), None);
        assert_eq!(Cookies::default().lines(), None);
    }
}
