//! A guide in Markdown, as the pieces that a reader acts on.
//!
//! In a `console` block `$ …` is typed, and the lines below are its output; `…` stands for anything, and a line that is nothing else for any
//! number of lines. Lines without a command above them are printed by `statefun run`. A block whose language is followed by a file changes that
//! file: `diff` in place, others at its end. The comment `<!-- ctrl-c: cargo run -->` ends that command.

/// A guide.
pub(super) struct Guide<'a>(&'a str);

/// Something that a reader acts on.
#[derive(Debug)]
pub(super) enum Piece {
    /// A command and its output. Without a command the lines come from the runtime.
    Step { command: String, shown: Vec<String> },
    /// `ctrl-c` in the terminal of this command.
    Stop(String),
    /// Code to read.
    Code { language: String, text: String },
    /// Code to write.
    Edit { file: String, change: Change },
}

#[derive(Debug)]
pub(super) enum Change {
    Append(String),
    Replace { before: String, after: String },
}

impl<'a> Guide<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self(text)
    }

    pub(super) fn pieces(&self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut lines = self.0.lines();
        while let Some(line) = lines.next() {
            if let Some(stopped) = line.strip_prefix("<!-- ctrl-c: ") {
                let command = stopped.trim_end_matches(" -->").to_owned();
                pieces.push(Piece::Stop(command));
            }
            let Some(opened) = line.strip_prefix("```") else {
                continue;
            };
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            match opened.split_once(' ') {
                None if opened == "console" => pieces.extend(steps(&block)),
                None => pieces.push(Piece::Code {
                    language: opened.to_owned(),
                    text: block.join("\n"),
                }),
                Some((language, file)) => pieces.push(Piece::Edit {
                    file: file.to_owned(),
                    change: match language {
                        "diff" => replacement(&block),
                        _ => Change::Append(block.join("\n")),
                    },
                }),
            }
        }
        pieces
    }
}

fn steps(block: &[&str]) -> Vec<Piece> {
    let mut steps = Vec::new();
    let mut lines = block.iter().peekable();
    while let Some(first) = lines.next() {
        let (command, mut shown) = match first.strip_prefix("$ ") {
            Some(command) => (command.to_owned(), Vec::new()),
            None => (String::new(), vec![(*first).to_owned()]),
        };
        while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
            shown.push((*line).to_owned());
        }
        steps.push(Piece::Step { command, shown });
    }
    steps
}

fn replacement(block: &[&str]) -> Change {
    let side = |other: char| {
        let lines = block.iter().filter(|line| !line.starts_with(other));
        let lines: Vec<&str> = lines
            .map(|line| line.get(1..).unwrap_or_default())
            .collect();
        lines.join("\n")
    };
    Change::Replace {
        before: side('+'),
        after: side('-'),
    }
}

/// The anchor of a heading, as GitHub makes it.
pub(super) fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}

/// Whether the lines are those shown.
pub(super) fn are_like(lines: &[&str], shown: &[String]) -> bool {
    match shown.split_first() {
        None => lines.is_empty(),
        Some((any, rest)) if any == "…" => (0..=lines.len()).any(|skipped| {
            let (_, left) = lines.split_at(skipped);
            are_like(left, rest)
        }),
        Some((first, rest)) => lines
            .split_first()
            .is_some_and(|(line, left)| is_like(line, first) && are_like(left, rest)),
    }
}

/// Whether `line` is `shown`, in which `…` stands for anything.
pub(super) fn is_like(line: &str, shown: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}
