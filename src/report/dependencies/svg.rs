//! Operators as rows in the order of the file, groups as vertical lines from where channels are made to where they
//! are read: no layout engine, and a network of a thousand nodes is still readable.

use std::collections::HashMap;
use std::fmt::{Error, Write as _};

use super::Drawing;
use crate::report::Inspection;
use crate::report::text::{escaped, shorten};

/// Scalable vector graphics, readable on light and dark pages.
#[derive(Debug, Clone, Copy, Default)]
pub struct Svg;

const ROW: usize = 18;
const TRACK: usize = 14;
const NAME: usize = 330;
const TOP: usize = 64;

const STYLE: &str = "svg{font:11px sans-serif;background:#fff;color:#1c1b1f}text{fill:currentColor}\
.faint{opacity:.65}.bad{fill:#b3261e}.line{stroke-width:3;stroke-linecap:round}.sum{fill:#fff;stroke-width:2}\
@media(prefers-color-scheme:dark){svg{background:#141218;color:#e6e1e5}.bad{fill:#f2b8b5}.sum{fill:#141218}}";

/// Colours told apart also by people who do not see red or green (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a7f00"];

/// First and last row of a group, and the column it got.
struct Track {
    first: usize,
    last: usize,
    column: usize,
}

impl Drawing for Svg {
    fn name(&self) -> &'static str {
        "svg"
    }

    fn draw(&self, inspection: &Inspection) -> Result<String, Error> {
        let tracks = tracks(inspection);
        let columns = tracks.iter().flatten().map(|track| track.column + 1).max().unwrap_or(0);
        let reasons = NAME + columns * TRACK + 16;
        let (width, height) = (reasons + 460, TOP + inspection.operators.len() * ROW + 16);
        let mut out = String::new();
        writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">"
        )?;
        writeln!(out, "<title>Which channels go together</title><style>{STYLE}</style>")?;
        heading(&mut out, inspection)?;
        blocks(&mut out, inspection)?;
        for (number, track) in tracks.iter().enumerate() {
            let Some(track) = track else { continue };
            let (x, colour) = (x(track.column), COLOURS[number % COLOURS.len()]);
            let group = &inspection.groups[number];
            writeln!(
                out,
                "<line class=\"line\" stroke=\"{colour}\" x1=\"{x}\" x2=\"{x}\" y1=\"{}\" y2=\"{}\"><title>{}: {} channels, {:.1} % of MACs</title></line>",
                y(track.first),
                y(track.last),
                escaped(&group.name),
                group.width,
                100.0 * group.macs_share
            )?;
        }
        for (row, operator) in inspection.operators.iter().enumerate() {
            let text = y(row) + 4;
            writeln!(
                out,
                "<text x=\"8\" y=\"{text}\">{} <tspan class=\"faint\">{}</tspan></text>",
                escaped(&operator.op),
                escaped(&shorten(&operator.name, 36))
            )?;
            let marks = [(&operator.makes, 5, ""), (&operator.carries, 3, ""), (&operator.sums, 4, "sum")];
            for (groups, radius, class) in marks {
                for &group in groups {
                    let Some(Some(track)) = tracks.get(group) else { continue };
                    let colour = COLOURS[group % COLOURS.len()];
                    let paint = if class.is_empty() { "fill" } else { "stroke" };
                    writeln!(
                        out,
                        "<circle class=\"{class}\" {paint}=\"{colour}\" cx=\"{}\" cy=\"{}\" r=\"{radius}\"/>",
                        x(track.column),
                        y(row)
                    )?;
                }
            }
            if let Some(reason) = operator.protected.first() {
                let reason = escaped(&shorten(reason, 76));
                writeln!(out, "<text class=\"bad\" x=\"{reasons}\" y=\"{text}\">{reason}</text>")?;
            }
        }
        out.push_str("</svg>\n");
        Ok(out)
    }
}

/// A bar at the left over the operators of every block.
fn blocks(out: &mut String, inspection: &Inspection) -> Result<(), Error> {
    let rows: HashMap<&str, usize> =
        inspection.operators.iter().enumerate().map(|(row, own)| (own.name.as_str(), row)).collect();
    for block in &inspection.blocks {
        let places = block.operators.iter().filter_map(|name| rows.get(name.as_str()).copied());
        let Some((first, last)) = places.clone().min().zip(places.max()) else { continue };
        writeln!(
            out,
            "<line class=\"line faint\" stroke=\"currentColor\" x1=\"3\" x2=\"3\" y1=\"{}\" y2=\"{}\"><title>{}: can be left out whole, {:.1} % of MACs</title></line>",
            y(first) - 4,
            y(last) + 4,
            escaped(&block.name),
            100.0 * block.macs as f64 / inspection.macs.max(1) as f64
        )?;
    }
    Ok(())
}

fn heading(out: &mut String, inspection: &Inspection) -> Result<(), Error> {
    writeln!(
        out,
        "<text x=\"8\" y=\"20\" font-size=\"14\">{} groups, {:.1} % of the MACs in operators with prunable channels</text>",
        inspection.groups.len(),
        100.0 * inspection.prunable_macs_share
    )?;
    writeln!(
        out,
        "<text class=\"faint\" x=\"8\" y=\"38\">A line is a group. Large dot: makes its channels; small dot: one parameter per channel; ring: sums over them. Bar at the left: can be left out whole. Red: why channels stay.</text>"
    )
}

fn x(column: usize) -> usize {
    NAME + column * TRACK
}

fn y(row: usize) -> usize {
    TOP + row * ROW
}

/// Columns for the groups: each takes the first that is free over its rows.
fn tracks(inspection: &Inspection) -> Vec<Option<Track>> {
    let mut spans: Vec<Option<(usize, usize)>> = vec![None; inspection.groups.len()];
    for (row, operator) in inspection.operators.iter().enumerate() {
        for &group in operator.makes.iter().chain(&operator.carries).chain(&operator.sums) {
            let span = spans[group].get_or_insert((row, row));
            span.1 = row;
        }
    }
    let mut order: Vec<usize> = (0..spans.len()).filter(|&group| spans[group].is_some()).collect();
    order.sort_by_key(|&group| spans[group]);
    let mut free_from: Vec<usize> = Vec::new();
    let mut tracks: Vec<Option<Track>> = spans.iter().map(|_| None).collect();
    for group in order {
        let Some((first, last)) = spans[group] else { continue };
        let column = free_from.iter().position(|&free| free <= first).unwrap_or(free_from.len());
        if column == free_from.len() {
            free_from.push(0);
        }
        free_from[column] = last + 1;
        tracks[group] = Some(Track { first, last, column });
    }
    tracks
}
