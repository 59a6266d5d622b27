//! How the classes are related: correlation of their outputs, and the tree over them.

use std::fmt::{self, Write as _};

use super::page::Page;
use crate::report::text::{escaped, shorten};
use crate::report::{Classwise, Summary};

const CELL: f64 = 22.0;
const LABEL: f64 = 120.0;
const TREE: f64 = 150.0;

/// Classes beyond which the picture would be unreadable.
const MOST: usize = 40;

pub(super) fn write(page: &mut Page, summary: &Summary) -> fmt::Result {
    let Some(classwise) = &summary.classwise else { return Ok(()) };
    let size = classwise.classes.len();
    if !(2..=MOST).contains(&size) || classwise.correlation.len() != size {
        return Ok(());
    }
    page.title("How the classes are related")?;
    page.paragraph(
        "soft",
        "Correlation of the dense model's outputs for two classes (the darker, the more alike), in the order of the tree \
         whose nodes the criterion couples.",
    )?;
    picture(page, classwise)?;
    let named = classwise.at_risk();
    if !named.is_empty() {
        let told: Vec<String> = named.iter().take(5).map(|(name, count)| format!("{name} in {count}")).collect();
        page.paragraph("", &format!("Before the repair the cuts take most from: {}.", told.join(", ")))?;
    }
    Ok(())
}

fn picture(page: &mut Page, classwise: &Classwise) -> fmt::Result {
    let size = classwise.classes.len();
    let order = leaves(classwise);
    let (side, height) = (CELL * size as f64, CELL * size as f64 + 8.0);
    let width = LABEL + side + TREE;
    writeln!(
        page.0,
        "<div class=\"scroll\"><svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" \
         aria-label=\"correlation of the classes\">"
    )?;
    for (row, &class) in order.iter().enumerate() {
        let y = CELL * row as f64;
        let name = escaped(&shorten(&classwise.classes[class].name, 16));
        writeln!(page.0, "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>", LABEL - 6.0, y + 15.0)?;
        for (column, &other) in order.iter().enumerate() {
            let value = classwise.correlation[class].get(other).copied().unwrap_or(0.0).clamp(-1.0, 1.0);
            let (x, side) = (LABEL + CELL * column as f64, CELL - 2.0);
            let shade = if value < 0.0 { "var(--bad)" } else { "var(--b)" };
            let names = format!("{}, {}: {value:.2}", classwise.classes[class].name, classwise.classes[other].name);
            writeln!(
                page.0,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\" fill=\"{shade}\" fill-opacity=\"{:.2}\">\
                 <title>{}</title></rect>",
                value.abs().max(0.04),
                escaped(&names)
            )?;
        }
    }
    tree(page, classwise, &order, LABEL + side + 6.0)?;
    writeln!(page.0, "</svg></div>")
}

/// Leaves in the order in which the tree draws them.
fn leaves(classwise: &Classwise) -> Vec<usize> {
    let size = classwise.classes.len();
    let mut members: Vec<Vec<usize>> = (0..size).map(|class| vec![class]).collect();
    for merge in &classwise.merges {
        let of = |node: usize| members.get(node).cloned().unwrap_or_default();
        let joined = [of(merge.first), of(merge.second)].concat();
        members.push(joined);
    }
    let whole = members.last().filter(|own| own.len() == size).cloned();
    whole.unwrap_or_else(|| (0..size).collect())
}

fn tree(page: &mut Page, classwise: &Classwise, order: &[usize], left: f64) -> fmt::Result {
    let row = |class: usize| order.iter().position(|&own| own == class).unwrap_or(0);
    let mut nodes: Vec<(f64, f64)> =
        (0..classwise.classes.len()).map(|class| (left, CELL * row(class) as f64 + CELL / 2.0)).collect();
    for merge in &classwise.merges {
        let (Some(&(ax, ay)), Some(&(bx, by))) = (nodes.get(merge.first), nodes.get(merge.second)) else { break };
        let x = left + (TREE - 20.0) * merge.height.clamp(0.0, 1.0);
        writeln!(page.0, "<path class=\"branch\" d=\"M{ax:.1} {ay:.1}H{x:.1}V{by:.1}H{bx:.1}\"/>")?;
        nodes.push((x, f64::midpoint(ay, by)));
    }
    Ok(())
}
