//! EdgeX's command line: flags with one dash and several letters, which are translated into ours.

use std::ffi::OsString;

/// EdgeX's flags, and our options for them. Go takes one dash or two for each.
const FLAGS: &[(&str, &str)] = &[
    ("cd", "configDir"),
    ("configDir", "configDir"),
    ("confdir", "configDir"),
    ("cf", "configFile"),
    ("configFile", "configFile"),
    ("cc", "commonConfig"),
    ("commonConfig", "commonConfig"),
    ("cp", "configProvider"),
    ("configProvider", "configProvider"),
    ("sk", "serviceKey"),
    ("serviceKey", "serviceKey"),
    ("rsh", "remoteServiceHosts"),
    ("remoteServiceHosts", "remoteServiceHosts"),
    ("profile", "profile"),
    ("dev", "dev"),
    ("registry", "registry"),
    ("overwrite", "overwrite"),
    ("skipVersionCheck", "skipVersionCheck"),
    ("help", "help"),
];

/// The commands that take them.
const COMMANDS: [&str; 3] = ["run", "import-edgex", "export-edgex"];

/// The command line, in which EdgeX's flags after `pipeline run` and the like are in our spelling.
pub(crate) fn in_our_spelling(line: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let line: Vec<OsString> = line.collect();
    let named = line.windows(2).position(|words| {
        COMMANDS
            .iter()
            .any(|command| words == ["pipeline", *command])
    });
    let Some(named) = named else {
        return line;
    };
    let ours = |(at, word): (usize, OsString)| {
        let is_after = at > named + 1;
        let ours = word.to_str().filter(|_| is_after).and_then(translated);
        ours.map_or(word, OsString::from)
    };
    line.into_iter().enumerate().map(ours).collect()
}

fn translated(text: &str) -> Option<String> {
    let flag = text.strip_prefix("--").or_else(|| text.strip_prefix('-'))?;
    let (name, value) = match flag.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (flag, None),
    };
    let (_, ours) = FLAGS.iter().find(|(known, _)| *known == name)?;
    Some(match value {
        Some(value) => format!("--{ours}={value}"),
        None => format!("--{ours}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> String {
        let words = line.split(' ').map(OsString::from);
        let words = in_our_spelling(words);
        let words: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
        words.join(" ")
    }

    #[test]
    fn flags_of_edgex_are_those_of_the_service_command_and_of_no_other() {
        assert_eq!(
            translated("statefun pipeline run -cd res -p x -cc=c.yaml --confdir=y -d -cp"),
            "statefun pipeline run --configDir res -p x --commonConfig=c.yaml --configDir=y -d --configProvider"
        );
        for same in ["statefun run -cd res", "statefun pipeline graph -cd"] {
            assert_eq!(translated(same), same);
        }
        assert_eq!(
            translated("statefun --log debug pipeline run -rsh a,b,c --data d"),
            "statefun --log debug pipeline run --remoteServiceHosts a,b,c --data d"
        );
    }
}
