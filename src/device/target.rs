//! Which device is meant.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::engine::EngineOptions;
use crate::plan::LatencyTarget;

/// A device as the command line names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// This program, beside others: `local`.
    Local,
    /// A machine that the system's `ssh` reaches: `ssh://[user@]host[:port]`. Its settings, keys and jump hosts count.
    Ssh {
        /// `host`, or `user@host`.
        host: String,
        /// Port, if it is not the usual one.
        port: Option<u16>,
    },
    /// A command whose standard input and output reach an agent: `exec:CMD`.
    Exec(String),
    /// A command that times a model's file: `time:CMD`, where `{model}` stands for its path.
    Time(String),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let command = |own: &str| {
            let own = own.trim();
            if own.is_empty() { Err("the command is missing".to_owned()) } else { Ok(own.to_owned()) }
        };
        if text == "local" {
            return Ok(Self::Local);
        }
        if let Some(own) = text.strip_prefix("exec:") {
            return command(own).map(Self::Exec);
        }
        if let Some(own) = text.strip_prefix("time:") {
            return command(own).map(Self::Time);
        }
        let Some(own) = text.strip_prefix("ssh://") else {
            return Err("a device is `local`, `ssh://[user@]host[:port]`, `exec:CMD` or `time:CMD`".into());
        };
        let own = own.trim_end_matches('/');
        let (host, port) = match own.rsplit_once(':') {
            // The colons of an IPv6 address stand in brackets.
            Some((host, port)) if !port.ends_with(']') => {
                let port = port.parse().map_err(|_| format!("`{port}` is no port"))?;
                (host, Some(port))
            }
            _ => (own, None),
        };
        let name = host.rsplit('@').next().unwrap_or_default();
        if name.is_empty() || host.starts_with('-') || host.contains(char::is_whitespace) || host.contains('/') {
            return Err(format!("`{host}` is no host"));
        }
        let host = host.replace(['[', ']'], "");
        Ok(Self::Ssh { host, port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Ssh { host, port: None } => write!(f, "ssh://{host}"),
            Self::Ssh { host, port: Some(port) } => write!(f, "ssh://{host}:{port}"),
            Self::Exec(command) => write!(f, "exec:{command}"),
            Self::Time(command) => write!(f, "time:{command}"),
        }
    }
}

/// How to reach a device and what runs there.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceOptions {
    /// The device.
    pub target: Target,
    /// Where the program is on a machine that `ssh` reaches; `onnx-prune` in its search path by default.
    pub agent: Option<String>,
    /// A file that is copied there first, to [`DeviceOptions::agent`] or into the user's cache.
    pub install: Option<PathBuf>,
    /// The engine there.
    pub engine: EngineOptions,
    /// The time that is asked for on this device, where it is not the same on all.
    pub latency: Option<LatencyTarget>,
    /// Of a command that times: what stands around its number, with one group.
    pub pattern: Option<String>,
    /// Seconds that such a command may take for one model.
    pub limit_s: f64,
}

impl DeviceOptions {
    /// A device with the usual engine.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            agent: None,
            install: None,
            engine: EngineOptions::default(),
            latency: None,
            pattern: None,
            limit_s: LIMIT_S,
        }
    }
}

/// Seconds that a command that times may take for one model, by default.
pub const LIMIT_S: f64 = 300.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_and_named_again() {
        for text in
            ["ssh://nano", "ssh://root@nano:2222", "exec:docker exec -i box onnx-prune agent", "time:./t.sh {model}"]
        {
            assert_eq!(text.parse::<Target>().map(|own| own.to_string()), Ok(text.to_owned()));
        }
        let address: Target = "ssh://root@[fe80::1]:22".parse().unwrap();
        assert_eq!(address, Target::Ssh { host: "root@fe80::1".into(), port: Some(22) });
        for bad in ["nano", "ssh://", "ssh://nano:port", "ssh://-oProxyCommand=x", "exec:", "time: ", "ssh://a b"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
