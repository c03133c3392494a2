//! The command language of `tests/functions/README.md`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stateful_functions::{Address, TypeName};

/// The three types; they share ids.
pub(crate) const TYPES: [TypeName; 3] = [
    TypeName::new("workload/alpha"),
    TypeName::new("workload/beta"),
    TypeName::new("elsewhere.workload/alpha"),
];
/// The type name of a [`Program`] as a message.
pub(crate) const PROGRAM: &str = "workload/program";
/// Gets JSON records.
pub(crate) const RECORDS: TypeName = TypeName::new("workload/records");
/// Gets Kafka records.
pub(crate) const KAFKA: TypeName = TypeName::new("workload/kafka");
/// Gets Kinesis records.
pub(crate) const KINESIS: TypeName = TypeName::new("workload/kinesis");

/// An address, written `<namespace>/<type>/<id>` in programs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct At(pub(crate) Address);

impl At {
    /// The address of another type with the same id.
    pub(crate) fn sibling(&self) -> Self {
        let at = TYPES.iter().position(|known| known == self.0.type_name());
        let next = TYPES[(at.unwrap() + 1) % TYPES.len()].clone();
        Self(Address::new(next, self.0.id()))
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<At> for String {
    fn from(at: At) -> Self {
        at.to_string()
    }
}

impl TryFrom<String> for At {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, '/');
        let (Some(namespace), Some(name), Some(id)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(format!("{text} is not an address"));
        };
        let type_name = TypeName::from_parts(namespace, name).map_err(|err| err.to_string())?;
        Ok(Self(Address::new(type_name, id)))
    }
}

/// What one message asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) id: String,
    /// The caller it must arrive with.
    pub(crate) from: Option<At>,
    #[serde(rename = "do")]
    pub(crate) ops: Vec<Op>,
}

impl Program {
    /// As a message carries it.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap()
    }
}

/// One command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Op {
    Add {
        amount: i64,
    },
    Set {
        cell: Cell,
        value: Value,
    },
    Clear {
        cell: Cell,
    },
    Read {
        cell: Cell,
    },
    Mark {
        number: u64,
    },
    Send {
        to: At,
        program: Program,
    },
    SendAfter {
        ms: u64,
        to: At,
        program: Program,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
    },
    Cancel {
        token: String,
    },
    Tell {
        to: At,
        cell: Cell,
        value: Value,
    },
    Egress {
        text: String,
    },
    Kafka {
        topic: String,
        key: String,
        text: String,
    },
    Kinesis {
        stream: String,
        key: String,
        text: String,
    },
    FailOnce {
        mark: String,
    },
    CrashOnce {
        mark: String,
    },
    Report {
        round: u64,
    },
}

/// A value that programs set, clear and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cell {
    Flag,
    Number,
    Count,
    Ratio,
    Small,
    Text,
    Note,
}

impl Cell {
    pub(crate) const ALL: [Self; 7] = [
        Self::Flag,
        Self::Number,
        Self::Count,
        Self::Ratio,
        Self::Small,
        Self::Text,
        Self::Note,
    ];
}

/// What the marks of one caller came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marks {
    pub(crate) count: u64,
    pub(crate) last: u64,
    pub(crate) disorder: u64,
}

impl Marks {
    pub(crate) fn note(&mut self, number: u64) {
        self.disorder += u64::from(number != self.last + 1);
        self.count += 1;
        self.last = number;
    }
}

/// An input: what the ingress hands to an address.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Input {
    pub(crate) to: At,
    pub(crate) program: Program,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn programs_are_written_as_the_interpreters_read_them() {
        let to: At = "elsewhere.workload/alpha/a/b c".parse().unwrap();
        assert_eq!(to.0.id(), "a/b c");
        let inner = Program {
            id: "18".to_owned(),
            from: Some(to.clone()),
            ops: vec![Op::Set {
                cell: Cell::Count,
                value: json!("7"),
            }],
        };
        let program = Program {
            id: "17".to_owned(),
            from: None,
            ops: vec![
                Op::FailOnce {
                    mark: "m".to_owned(),
                },
                Op::SendAfter {
                    ms: 5,
                    to,
                    program: inner,
                    token: None,
                },
            ],
        };
        let bytes = program.to_bytes();
        let text: Value = serde_json::from_slice(&bytes).unwrap();
        let expected = json!({"id": "17", "from": null, "do": [
            {"op": "fail_once", "mark": "m"},
            {"op": "send_after", "ms": 5, "to": "elsewhere.workload/alpha/a/b c", "program":
                {"id": "18", "from": "elsewhere.workload/alpha/a/b c", "do": [{"op": "set", "cell": "count", "value": "7"}]}},
        ]});
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_slice::<Program>(&bytes).unwrap(), program);
    }

    #[test]
    fn siblings_share_the_id_and_go_round() {
        let at: At = "workload/beta/x".parse().unwrap();
        assert_eq!(at.sibling().to_string(), "elsewhere.workload/alpha/x");
        assert_eq!(at.sibling().sibling().sibling(), at);
    }
}
