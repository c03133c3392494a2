//! URLs as StateFun reads them: with Java's grammar of RFC 2396, and its error messages.
//!
//! A character that Java does not accept fails every call, for example the braces of a placeholder that was not replaced.

use std::net::Ipv6Addr;

/// The part of a URL that could be read, with Java's text about the rest.
pub(super) type Read<T> = Result<T, String>;

/// The parts of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Uri {
    /// `None` if there is no valid scheme before the first colon.
    pub(super) scheme: Option<String>,
    /// `None` if there is no authority, or if it names no server.
    pub(super) host: Option<String>,
    pub(super) port: Option<i64>,
    /// The part between scheme and fragment.
    pub(super) rest: String,
    /// Why the authority names no server, if there is one.
    pub(super) no_server: Option<String>,
}

/// The characters allowed in a part: letters, digits, and the punctuation in this text.
struct Class {
    name: &'static str,
    marks: &'static str,
    /// Escapes such as `%41` and non-ASCII characters are allowed.
    escapes: bool,
}

const SCHEME: Class = class("scheme name", "+-.", false);
const OPAQUE: Class = class("opaque part", URIC, true);
const PATH: Class = class("path", "_-!.~'()*:@&=+$,;/", true);
const QUERY: Class = class("query", URIC, true);
const FRAGMENT: Class = class("fragment", URIC, true);
const USER_INFO: Class = class("user info", "_-!.~'()*;:&=+$,", true);
const SERVER: Class = class("authority", "_-!.~'()*;:&=+$,@[]", true);
const REGISTRY: Class = class("authority", "_-!.~'()*$,;:@&=+", true);
const URIC: &str = "_-!.~'()*;/?:@&=+$,[]";

const fn class(name: &'static str, marks: &'static str, escapes: bool) -> Class {
    Class {
        name,
        marks,
        escapes,
    }
}

impl Class {
    /// The end of the characters of this class that begin at `start`.
    fn end(&self, input: &Input<'_>, start: usize, end: usize) -> Read<usize> {
        let mut at = start;
        while let Some(c) = input.at(at).filter(|_| at < end) {
            if c.is_ascii_alphanumeric() || self.marks.contains(c) || self.takes_other(c) {
                at += 1;
            } else if c == '%' && self.escapes {
                let is_hex = |n| input.at(n).is_some_and(|c| c.is_ascii_hexdigit());
                if at + 3 > end || !is_hex(at + 1) || !is_hex(at + 2) {
                    return Err(input.fault("Malformed escape pair", at));
                }
                at += 3;
            } else {
                break;
            }
        }
        Ok(at)
    }

    const fn takes_other(&self, c: char) -> bool {
        self.escapes && !c.is_ascii() && !matches!(c, '\u{80}'..='\u{a0}' | '\u{2028}' | '\u{2029}')
    }

    fn check(&self, input: &Input<'_>, start: usize, end: usize) -> Read<()> {
        match self.end(input, start, end)? {
            at if at < end => Err(input.fault(&format!("Illegal character in {}", self.name), at)),
            _ => Ok(()),
        }
    }
}

struct Input<'a> {
    text: &'a str,
    chars: Vec<char>,
}

impl Input<'_> {
    fn at(&self, at: usize) -> Option<char> {
        self.chars.get(at).copied()
    }

    fn is(&self, at: usize, c: char) -> bool {
        self.at(at) == Some(c)
    }

    fn len(&self) -> usize {
        self.chars.len()
    }

    fn text(&self, start: usize, end: usize) -> String {
        let part = self.chars.get(start..end).unwrap_or_default();
        part.iter().collect()
    }

    /// The first position of one of `stops`.
    fn find(&self, start: usize, end: usize, stops: &str) -> usize {
        let stop = |at: &usize| self.at(*at).is_some_and(|c| stops.contains(c));
        (start..end).find(stop).unwrap_or(end)
    }

    fn fault(&self, reason: &str, at: usize) -> String {
        format!("{reason} at index {at}: {}", self.text)
    }
}

/// Parses `text` as Java's `URI` does.
pub(super) fn parse(text: &str) -> Read<Uri> {
    let input = Input {
        text,
        chars: text.chars().collect(),
    };
    let end = input.len();
    let mut uri = Uri {
        scheme: None,
        host: None,
        port: None,
        rest: String::new(),
        no_server: None,
    };
    let mut at = input.find(0, end, "/?#:");
    if input.is(at, ':') {
        if at == 0 {
            return Err(input.fault("Expected scheme name", 0));
        }
        if !input.at(0).is_some_and(|c| c.is_ascii_alphabetic()) {
            return Err(input.fault("Illegal character in scheme name", 0));
        }
        SCHEME.check(&input, 1, at)?;
        uri.scheme = Some(input.text(0, at));
        at += 1;
    } else {
        at = 0;
    }
    let begin = at;
    if uri.scheme.is_some() && !input.is(at, '/') {
        let stop = input.find(at, end, "#");
        if stop == at {
            return Err(input.fault("Expected scheme-specific part", at));
        }
        OPAQUE.check(&input, at, stop)?;
        at = stop;
    } else {
        at = hierarchical(&input, at, &mut uri)?;
    }
    uri.rest = input.text(begin, at);
    if input.is(at, '#') {
        FRAGMENT.check(&input, at + 1, end)?;
    }
    Ok(uri)
}

/// Authority, path and query.
fn hierarchical(input: &Input<'_>, start: usize, uri: &mut Uri) -> Read<usize> {
    let end = input.len();
    let mut at = start;
    if input.is(at, '/') && input.is(at + 1, '/') {
        at += 2;
        let stop = input.find(at, end, "/?#");
        if stop > at {
            authority(input, at, stop, uri)?;
        } else if stop == end {
            return Err(input.fault("Expected authority", at));
        }
        at = stop;
    }
    let stop = input.find(at, end, "?#");
    PATH.check(input, at, stop)?;
    at = stop;
    if input.is(at, '?') {
        let stop = input.find(at, end, "#");
        QUERY.check(input, at + 1, stop)?;
        at = stop;
    }
    Ok(at)
}

/// A server, or a registry name, which cannot be called.
fn authority(input: &Input<'_>, start: usize, end: usize, uri: &mut Uri) -> Read<()> {
    let is_server = SERVER.end(input, start, end)? == end;
    let is_name = REGISTRY.end(input, start, end)? == end;
    let server = if is_server {
        server(input, start, end)
    } else {
        Err(input.fault("Illegal character in authority", start))
    };
    match server {
        Ok((host, port)) => (uri.host, uri.port) = (Some(host), port),
        Err(why) if is_name => uri.no_server = Some(why),
        Err(why) => return Err(why),
    }
    Ok(())
}

fn server(input: &Input<'_>, start: usize, end: usize) -> Read<(String, Option<i64>)> {
    let mut at = start;
    let sign = input.find(at, end, "@");
    if sign < end {
        USER_INFO.check(input, at, sign)?;
        at = sign + 1;
    }
    let begin = at;
    at = if input.is(at, '[') {
        ipv6(input, at, end)?
    } else {
        match ipv4(input, at, end) {
            Some(stop) => stop,
            None => hostname(input, at, end)?,
        }
    };
    let host = input.text(begin, at);
    if !input.is(at, ':') || at >= end {
        return match at {
            _ if at < end => Err(input.fault("Expected port number", at)),
            _ => Ok((host, None)),
        };
    }
    let digits = input.text(at + 1, end);
    if let Some(bad) = digits.chars().position(|c| !c.is_ascii_digit()) {
        return Err(input.fault("Illegal character in port number", at + 1 + bad));
    }
    match digits.parse::<i32>() {
        Ok(port) => Ok((host, Some(port.into()))),
        Err(_) if digits.is_empty() => Ok((host, None)),
        Err(_) => Err(input.fault("Malformed port number", at + 1)),
    }
}

fn ipv6(input: &Input<'_>, start: usize, end: usize) -> Read<usize> {
    let close = input.find(start + 1, end, "]");
    if close == end {
        return Err(input.fault("Expected closing bracket for IPv6 address", end));
    }
    let inside = input.text(start + 1, close);
    let address = inside.split_once('%').map_or(inside.as_str(), |(a, _)| a);
    match address.parse::<Ipv6Addr>() {
        Ok(_) => Ok(close + 1),
        Err(_) => Err(input.fault("Malformed IPv6 address", start + 1)),
    }
}

/// The end of an IPv4 address, which only a port may follow.
fn ipv4(input: &Input<'_>, start: usize, end: usize) -> Option<usize> {
    let stop = input.find(start, end, ":");
    let text = input.text(start, stop);
    let bytes: Vec<&str> = text.split('.').collect();
    let is_byte = |byte: &&str| {
        byte.chars().all(|c| c.is_ascii_digit()) && byte.parse::<u32>().is_ok_and(|n| n < 256)
    };
    (bytes.len() == 4 && bytes.iter().all(is_byte)).then_some(stop)
}

fn hostname(input: &Input<'_>, start: usize, end: usize) -> Read<usize> {
    let illegal = |at| input.fault("Illegal character in hostname", at);
    let is = |at: usize, extra: &str| {
        let c = input.at(at).filter(|_| at < end);
        c.is_some_and(|c| c.is_ascii_alphanumeric() || extra.contains(c))
    };
    let (mut at, mut last) = (start, None);
    while is(at, "") {
        last = Some(at);
        while is(at, "-") {
            at += 1;
        }
        if input.is(at - 1, '-') {
            return Err(illegal(at - 1));
        }
        if at == end || !input.is(at, '.') {
            break;
        }
        at += 1;
    }
    if at < end && !input.is(at, ':') {
        return Err(illegal(at));
    }
    match last {
        None => Err(input.fault("Expected hostname", start)),
        Some(label)
            if label > start && !input.at(label).is_some_and(|c| c.is_ascii_alphabetic()) =>
        {
            Err(illegal(label))
        }
        Some(_) => Ok(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Java's messages for these.
    #[test]
    fn urls_are_refused_with_javas_texts() {
        for (text, expected) in [
            (
                "http://exa mple/",
                "Illegal character in authority at index 7: http://exa mple/",
            ),
            (
                "http://h|x/",
                "Illegal character in authority at index 7: http://h|x/",
            ),
            (
                "http://h/%zz",
                "Malformed escape pair at index 9: http://h/%zz",
            ),
            (
                "http://h/{x}",
                "Illegal character in path at index 9: http://h/{x}",
            ),
            (
                "http://h/x y",
                "Illegal character in path at index 10: http://h/x y",
            ),
            ("http:", "Expected scheme-specific part at index 5: http:"),
            (
                " http://h/",
                "Illegal character in scheme name at index 0:  http://h/",
            ),
            ("http://", "Expected authority at index 7: http://"),
            (":x", "Expected scheme name at index 0: :x"),
        ] {
            assert_eq!(parse(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_host_may_be_no_server() {
        for (text, expected) in [
            (
                "http://a_b/",
                "Illegal character in hostname at index 8: http://a_b/",
            ),
            ("http://:80/", "Expected hostname at index 7: http://:80/"),
            (
                "http://ä/x",
                "Illegal character in hostname at index 7: http://ä/x",
            ),
            (
                "http://-a/",
                "Illegal character in hostname at index 7: http://-a/",
            ),
            (
                "http://a..b/",
                "Illegal character in hostname at index 9: http://a..b/",
            ),
            (
                "http://1.2.3/",
                "Illegal character in hostname at index 11: http://1.2.3/",
            ),
            (
                "http://h.-/",
                "Illegal character in hostname at index 9: http://h.-/",
            ),
        ] {
            assert_eq!(
                parse(text).unwrap().no_server.as_deref(),
                Some(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn urls_are_read_in_their_parts() {
        for (text, scheme, host, port) in [
            (
                "http://localhost:8080/x?a=b#f",
                Some("http"),
                Some("localhost"),
                Some(8080),
            ),
            ("https://user:pw@h.", Some("https"), Some("h."), None),
            ("http://a:/x", Some("http"), Some("a"), None),
            ("http://[::1]:80/", Some("http"), Some("[::1]"), Some(80)),
            ("http://127.0.0.1", Some("http"), Some("127.0.0.1"), None),
            ("http://a:99999/", Some("http"), Some("a"), Some(99_999)),
            ("HTTP://h/%20ä", Some("HTTP"), Some("h"), None),
            ("localhost:8000/x", Some("localhost"), None, None),
            ("http:///nowhere", Some("http"), None, None),
            ("http+unix:/run/f.sock", Some("http+unix"), None, None),
            ("//h/x", None, Some("h"), None),
            ("/x", None, None, None),
            ("", None, None, None),
        ] {
            let uri = parse(text).unwrap();
            let found = (uri.scheme.as_deref(), uri.host.as_deref(), uri.port);
            assert_eq!(found, (scheme, host, port), "{text}");
        }
    }
}
