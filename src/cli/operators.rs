//! The command `onnx-prune operators`: the table of what is done with which operator.

use clap::Args;

use super::commands::unprintable;
use super::console::Console;
use crate::error::Error;
use crate::ops::{OPERATORS, Operator, Refit, markdown};

/// `onnx-prune operators`.
#[derive(Debug, Args)]
pub(super) struct Operators {
    /// As JSON
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// As a Markdown table
    #[arg(long)]
    markdown: bool,
}

pub(super) fn run(flags: &Operators, console: &Console<'_>) -> Result<(), Error> {
    let shown = match (flags.json, flags.markdown) {
        (true, _) => json()?,
        (_, true) => page(),
        _ => text(),
    };
    console.print(&shown)
}

/// The page `docs/operators.md`.
fn page() -> String {
    format!(
        "# Operators\n\nWhat is done with which operator of ONNX; the output of `onnx-prune operators --markdown`.\n\n\
         - *dependency rule*: which channels must be cut together with those that it reads or makes. An operator that is\n  \
         not listed, and one whose inputs are not constant where they must be, keeps the channels that reach it.\n\
         - *MACs counted*: it counts in a budget of multiply-accumulates.\n\
         - *weight refitted*: by least squares, as a consumer of a cut alone (local) and layer after layer (sequential).\n\
         - *derivative*: the global repair, which adjusts all weights at once, passes through it.\n\
         - *int8*: a product on integers, a node that combines integers of several scales, one that moves them, or a bound\n  \
         that rounding stands for; the others stay in real numbers.\n\n{}",
        markdown()
    )
}

fn json() -> Result<String, Error> {
    let text = serde_json::to_string_pretty(&OPERATORS).map_err(|error| unprintable(error.to_string()))?;
    Ok(text + "\n")
}

fn text() -> String {
    let mut out = format!(
        "{:<28}{:<28}{:<6}{:<20}{:<12}int8\n",
        "operator", "dependency rule", "MACs", "weight refitted", "derivative"
    );
    for own in OPERATORS {
        out += &line(own);
    }
    out
}

fn line(own: &Operator) -> String {
    let refit = match own.refit {
        Refit::None => "-",
        Refit::Sequential => "sequential",
        Refit::LocalAndSequential => "local, sequential",
    };
    let yes = |is: bool| if is { "yes" } else { "-" };
    let name = if own.domain.is_empty() { own.name.to_owned() } else { format!("{} ({})", own.name, own.domain) };
    let family = format!("{:?}", own.family);
    let int8 = if own.int8.name().is_empty() { "-" } else { own.int8.name() };
    format!("{name:<28}{family:<28}{:<6}{refit:<20}{:<12}{int8}\n", yes(own.macs), yes(own.derivative))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_is_printed() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operators.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, page()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), page(), "UPDATE_DOCS=1 writes it anew");
    }

    #[test]
    fn every_operator_has_a_line() {
        assert_eq!(text().lines().count(), OPERATORS.len() + 1);
        assert!(text().lines().any(|line| line.starts_with("Conv ") && line.ends_with("product")));
    }
}
