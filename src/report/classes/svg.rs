//! A picture of the classes: correlation matrix with the tree above it, the graph, and for every group what each class
//! receives from each channel.

use std::f64::consts::TAU;
use std::fmt::{Error, Write as _};
use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, RgbaImage};

use super::{Classwise, GroupClasses};
use crate::report::text::{escaped, shorten};

const STYLE: &str = "svg{font:11px sans-serif;background:#fff;color:#1c1b1f}text{fill:currentColor}\
.faint{opacity:.65}.title{font-weight:600;font-size:13px}.line{stroke:currentColor;fill:none}.edge{stroke:#0072b2}\
image{image-rendering:pixelated}\
@media(prefers-color-scheme:dark){svg{background:#141218;color:#e6e1e5}}";

/// Blue for what is there or positive, orange for negative (Okabe and Ito).
const BLUE: [u8; 3] = [0x00, 0x72, 0xb2];
const ORANGE: [u8; 3] = [0xd5, 0x5e, 0x00];

const NAME: f64 = 150.0;
const ROW: f64 = 16.0;
const MAP: f64 = 640.0;
const LOSS: f64 = 90.0;
const TREE: f64 = 90.0;

/// Scalable vector graphics, readable on light and dark pages.
///
/// # Errors
/// If a picture cannot be encoded.
pub fn classes_svg(classwise: &Classwise) -> Result<String, Error> {
    let classes = classwise.classes.len() as f64;
    let top = 40.0 + TREE + classes * ROW + 60.0;
    let each = classes * ROW + 44.0;
    let (width, height) = (NAME + MAP + LOSS + 24.0, top + classwise.groups.len() as f64 * each + 16.0);
    let mut out = String::new();
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">"
    )?;
    writeln!(out, "<title>What every class receives</title><style>{STYLE}</style>")?;
    relatedness(&mut out, classwise)?;
    graph(&mut out, classwise, (NAME + classes * ROW + 60.0).max(330.0))?;
    for (number, group) in classwise.groups.iter().enumerate() {
        group_map(&mut out, classwise, group, top + number as f64 * each)?;
    }
    writeln!(out, "</svg>")?;
    Ok(out)
}

/// Leaves in the order of the tree, so that no lines cross.
fn order(classwise: &Classwise) -> Vec<usize> {
    let count = classwise.classes.len();
    let mut leaves: Vec<Vec<usize>> = (0..count).map(|class| vec![class]).collect();
    for merge in &classwise.merges {
        let both = [leaves[merge.first].clone(), leaves[merge.second].clone()].concat();
        leaves.push(both);
    }
    leaves.pop().filter(|all| all.len() == count).unwrap_or_else(|| (0..count).collect())
}

/// The correlation matrix with names, and the tree above it.
fn relatedness(out: &mut String, classwise: &Classwise) -> Result<(), Error> {
    let order = order(classwise);
    let top = 40.0 + TREE;
    writeln!(out, "<text class=\"title\" x=\"8\" y=\"20\">Correlation of the classes' outputs</text>")?;
    let cell = |row: usize, column: usize| {
        let value = classwise.correlation[order[row]][order[column]];
        (if value < 0.0 { ORANGE } else { BLUE }, value.abs())
    };
    let side = order.len() as f64 * ROW;
    let place = Place { x: NAME, y: top, width: side, height: side };
    picture(out, place, order.len(), order.len(), &cell)?;
    for (row, &class) in order.iter().enumerate() {
        name(out, classwise, class, top + row as f64 * ROW)?;
    }
    // Where every node of the tree is: its middle, and its height.
    let mut places = vec![(0.0, 0.0); classwise.classes.len()];
    for (at, &class) in order.iter().enumerate() {
        places[class] = (NAME + (at as f64 + 0.5) * ROW, 0.0);
    }
    for merge in &classwise.merges {
        let ((x0, h0), (x1, h1)) = (places[merge.first], places[merge.second]);
        let y = |height: f64| top - 4.0 - (TREE - 14.0) * height;
        let height = merge.height.clamp(0.0, 1.0);
        writeln!(out, "<path class=\"line\" d=\"M{x0} {}V{}H{x1}V{}\"/>", y(h0), y(height), y(h1))?;
        places.push((f64::midpoint(x0, x1), height));
    }
    Ok(())
}

/// The class graph on a circle; stronger edges are thicker.
fn graph(out: &mut String, classwise: &Classwise, left: f64) -> Result<(), Error> {
    let order = order(classwise);
    let radius = (order.len() as f64 * ROW / 2.0).clamp(50.0, 120.0);
    let (cx, cy) = (left + radius + 90.0, 60.0 + radius);
    let mut places = vec![(0.0, 0.0, 0.0); order.len()];
    for (at, &class) in order.iter().enumerate() {
        let angle = TAU * at as f64 / order.len() as f64 - TAU / 4.0;
        places[class] = (cx + radius * angle.cos(), cy + radius * angle.sin(), angle.cos());
    }
    let title = if classwise.edges.is_empty() { "Class graph: no edges" } else { "Class graph" };
    writeln!(out, "<text class=\"title\" x=\"{left}\" y=\"20\">{title}</text>")?;
    for edge in &classwise.edges {
        let ((x0, y0, _), (x1, y1, _)) = (places[edge.first], places[edge.second]);
        let width = 0.5 + 5.0 * edge.weight;
        writeln!(out, "<path class=\"edge\" stroke-width=\"{width:.2}\" d=\"M{x0:.1} {y0:.1}L{x1:.1} {y1:.1}\"/>")?;
    }
    for (class, (x, y, side)) in places.iter().enumerate() {
        let anchor = if *side < -0.2 {
            "end"
        } else if *side > 0.2 {
            "start"
        } else {
            "middle"
        };
        let (dx, dy) = (6.0 * side.signum() * f64::from(u8::from(side.abs() > 0.2)), if *y < cy { -5.0 } else { 12.0 });
        writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"currentColor\"/>")?;
        let text = escaped(&shorten(&classwise.classes[class].name, 14));
        writeln!(out, "<text text-anchor=\"{anchor}\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>", x + dx, y + dy)?;
    }
    Ok(())
}

/// Classes by channels, those that stay to the left; what the cut takes from each class to the right.
fn group_map(out: &mut String, classwise: &Classwise, group: &GroupClasses, top: f64) -> Result<(), Error> {
    let units = group.shares.first().map_or(0, Vec::len);
    let total = |unit: usize| group.shares.iter().map(|own| own[unit]).sum::<f32>();
    let stays = |unit: usize| group.kept.binary_search(&unit).is_ok();
    let mut order: Vec<usize> = (0..units).collect();
    order.sort_by(|&a, &b| stays(b).cmp(&stays(a)).then(total(b).total_cmp(&total(a))).then(a.cmp(&b)));
    let cut = units - group.kept.len();
    let what =
        if cut > 0 { format!("{} of {units} channels stay", group.kept.len()) } else { format!("{units} channels") };
    let title = escaped(&shorten(&group.name, 70));
    writeln!(out, "<text class=\"title\" x=\"8\" y=\"{}\">{title}</text>", top + 12.0)?;
    writeln!(out, "<text class=\"faint\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{what}</text>", NAME + MAP, top + 12.0)?;
    let largest = group.shares.iter().flatten().copied().fold(f32::MIN_POSITIVE, f32::max);
    // The root: small shares would vanish beside the largest.
    let cell =
        |class: usize, column: usize| (BLUE, f64::from(group.shares[class][order[column]] / largest).max(0.0).sqrt());
    let (map, classes) = (top + 20.0, classwise.classes.len());
    let place = Place { x: NAME, y: map, width: MAP, height: ROW * classes as f64 };
    picture(out, place, classes, units, &cell)?;
    let border = NAME + MAP * group.kept.len() as f64 / units.max(1) as f64;
    if cut > 0 {
        let end = map + ROW * classes as f64;
        writeln!(out, "<path class=\"line\" stroke-dasharray=\"4 3\" d=\"M{border:.1} {map}V{end}\"/>")?;
        let head = top + 12.0;
        writeln!(out, "<text class=\"faint\" x=\"{}\" y=\"{head}\">taken away</text>", NAME + MAP + 8.0)?;
    }
    for class in 0..classes {
        let y = map + class as f64 * ROW;
        name(out, classwise, class, y)?;
        if cut > 0 {
            let worst = group.most_at_risk == Some(class);
            let weight = if worst { " font-weight=\"600\"" } else { "" };
            let lost = 100.0 * group.lost.get(class).copied().unwrap_or(0.0);
            writeln!(out, "<text x=\"{}\" y=\"{}\"{weight}>{lost:.1} %</text>", NAME + MAP + 8.0, y + 12.0)?;
        }
    }
    Ok(())
}

fn name(out: &mut String, classwise: &Classwise, class: usize, y: f64) -> Result<(), Error> {
    let text = escaped(&shorten(&classwise.classes[class].name, 24));
    writeln!(out, "<text text-anchor=\"end\" x=\"{}\" y=\"{}\">{text}</text>", NAME - 6.0, y + 12.0)
}

/// Where a picture stands, and its size, in pixels.
#[derive(Clone, Copy)]
struct Place {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// A matrix as an embedded picture of one pixel per cell: a colour, and how much of it in `[0, 1]`.
fn picture(
    out: &mut String,
    place: Place,
    rows: usize,
    columns: usize,
    cell: &dyn Fn(usize, usize) -> ([u8; 3], f64),
) -> Result<(), Error> {
    let Place { x, y, width, height } = place;
    let size = |count: usize| u32::try_from(count).map_err(|_| Error);
    if rows == 0 || columns == 0 {
        return Ok(());
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte")]
    let pixel = |column: u32, row: u32| {
        let ([red, green, blue], amount) = cell(row as usize, column as usize);
        image::Rgba([red, green, blue, (255.0 * amount.clamp(0.0, 1.0)).round() as u8])
    };
    let picture = RgbaImage::from_fn(size(columns)?, size(rows)?, pixel);
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).map_err(|_| Error)?;
    let data = STANDARD.encode(bytes.into_inner());
    writeln!(
        out,
        "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" preserveAspectRatio=\"none\" href=\"data:image/png;base64,{data}\"/>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{ClassEdge, ClassMerge, FollowedClass};

    fn sample() -> Classwise {
        let class = |name: &str| FollowedClass { name: name.into(), outputs: vec![0], images: 10, weight: 1.0 };
        Classwise {
            classes: vec![class("cat"), class("<dog>"), class("car")],
            correlation: vec![vec![1.0, 0.5, -0.2], vec![0.5, 1.0, 0.0], vec![-0.2, 0.0, 1.0]],
            edges: vec![ClassEdge { first: 0, second: 1, weight: 1.0 }],
            merges: vec![
                ClassMerge { first: 0, second: 1, height: 0.4 },
                ClassMerge { first: 3, second: 2, height: 1.0 },
            ],
            groups: vec![GroupClasses {
                name: "conv".into(),
                lost: vec![0.1, 0.2, 0.05],
                most_at_risk: Some(1),
                kept: vec![0, 2],
                shares: vec![vec![0.5, 0.1, 0.2], vec![0.1, 0.2, 0.3], vec![0.0, 0.0, 1.0]],
            }],
        }
    }

    #[test]
    fn names_are_escaped_and_everything_is_there() {
        let text = classes_svg(&sample()).unwrap();
        assert!(text.contains("&lt;dog&gt;") && !text.contains("<dog>"));
        assert_eq!(text.matches("<image").count(), 2);
        assert_eq!(text.matches("class=\"edge\"").count(), 1);
        assert!(text.contains("20.0 %") && text.contains("2 of 3 channels stay"), "{text}");
    }

    #[test]
    fn one_class_and_no_groups_are_drawn_too() {
        let mut sample = sample();
        sample.groups.clear();
        assert!(classes_svg(&sample).unwrap().ends_with("</svg>\n"));
        let single =
            Classwise { classes: sample.classes[..1].to_vec(), correlation: vec![vec![1.0]], ..Classwise::default() };
        assert!(classes_svg(&single).is_ok());
    }
}
