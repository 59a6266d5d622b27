//! The sweep as a picture: accuracy against latency, with the intervals of both.

use std::fmt::{Error, Write as _};

use super::table::digits;
use super::{Swept, SweptModel};
use crate::report::text::{escaped, plural, shorten};

const STYLE: &str = "svg{font:12px sans-serif;background:#fff;color:#1c1b1f}text{fill:currentColor}\
.faint{opacity:.65}.title{font-weight:600;font-size:14px}.axis{stroke:currentColor;opacity:.55}\
.grid{stroke:currentColor;opacity:.13}.front{stroke:#0072b2;fill:none;stroke-width:1.5}\
.bar{stroke:#0072b2;opacity:.55}.on{fill:#0072b2;stroke:#0072b2}.off{fill:none;stroke:#0072b2;stroke-width:1.5}\
.bar8{stroke:#009e73;opacity:.55}.on8{fill:#009e73;stroke:#009e73}.off8{fill:none;stroke:#009e73;stroke-width:1.5}\
.dense{fill:#d55e00}.spread{stroke:#d55e00;opacity:.55}\
@media(prefers-color-scheme:dark){svg{background:#141218;color:#e6e1e5}}";

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 52.0;

/// One model in the picture: what it costs and what it is worth, each with the ends of its interval.
struct Point {
    x: [f64; 3],
    y: [f64; 3],
    label: String,
    front: bool,
    /// What it is written in, if not as it was.
    precision: Option<&'static str>,
}

impl Point {
    /// Classes of its interval and of itself.
    fn classes(&self) -> [&'static str; 2] {
        match (self.precision.is_some(), self.front) {
            (false, true) => ["bar", "on"],
            (false, false) => ["bar", "off"],
            (true, true) => ["bar8", "on8"],
            (true, false) => ["bar8", "off8"],
        }
    }
}

/// Scalable vector graphics, readable on light and dark pages; `None` without images, when there is nothing to draw
/// against.
///
/// # Errors
/// If the text cannot be written.
pub fn sweep_svg(swept: &Swept) -> Result<Option<String>, Error> {
    let points: Vec<Point> = swept.models.iter().filter_map(|model| point(swept, model)).collect();
    let (Some(first), false) = (swept.models.first(), points.is_empty()) else { return Ok(None) };
    let dense = dense(first);
    let all = || points.iter().chain([&dense]);
    let axes = Axes {
        x: Axis::new(all().flat_map(|point| point.x), LEFT, WIDTH - RIGHT),
        y: Axis::new(all().flat_map(|point| point.y), HEIGHT - BOTTOM, TOP),
    };
    let mut out = String::new();
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\">"
    )?;
    writeln!(out, "<title>What a sweep costs and keeps</title><style>{STYLE}</style>")?;
    frame(&mut out, first, &axes.x, &axes.y)?;
    let mut front: Vec<&Point> = points.iter().filter(|point| point.front).chain([&dense]).collect();
    front.sort_by(|a, b| a.x[1].total_cmp(&b.x[1]));
    let path: Vec<String> =
        front.iter().map(|point| format!("{:.1} {:.1}", axes.x.at(point.x[1]), axes.y.at(point.y[1]))).collect();
    writeln!(out, "<path class=\"front\" d=\"M{}\"/>", path.join("L"))?;
    for point in &points {
        draw(&mut out, &axes, point, point.classes())?;
    }
    draw(&mut out, &axes, &dense, ["spread", "dense"])?;
    if let Some(precision) = points.iter().find_map(|point| point.precision) {
        key(&mut out, precision)?;
    }
    let marked: Vec<&Point> = all().collect();
    names(&mut out, &axes, &marked)?;
    writeln!(out, "</svg>")?;
    Ok(Some(out))
}

fn point(swept: &Swept, model: &SweptModel) -> Option<Point> {
    let summary = &model.summary;
    let (worth, cost) = (model.worth()?, model.cost());
    let y =
        summary.accuracy.as_ref().map_or([worth; 3], |own| [own.after_interval.low, worth, own.after_interval.high]);
    let x = summary.latency_ms.map_or([cost; 3], |own| [own.ratio_low, cost, own.ratio_high]);
    let precision = model.precision();
    let alone = precision.is_some() && model.share >= 1.0;
    let label = match &model.name {
        Some(name) => name.clone(),
        None if alone => "dense".into(),
        None => format!("x{}", digits(model.share)),
    };
    Some(Point { x, y, label, front: swept.on_front(model), precision })
}

fn dense(first: &SweptModel) -> Point {
    let worth = first.summary.accuracy.as_ref();
    let y =
        worth.map_or([first.dense_worth(); 3], |own| [own.before_interval.low, own.before, own.before_interval.high]);
    Point { x: [1.0; 3], y, label: "dense".into(), front: true, precision: None }
}

/// Title, axes and grid.
fn frame(out: &mut String, first: &SweptModel, x: &Axis, y: &Axis) -> Result<(), Error> {
    let summary = &first.summary;
    let file = summary.model.path.file_name().map(|name| name.display().to_string()).unwrap_or_default();
    writeln!(out, "<text class=\"title\" x=\"{LEFT}\" y=\"22\">{}</text>", escaped(&file))?;
    let images = match (&summary.accuracy, first.metric()) {
        (Some(own), _) => {
            plural(own.images, if own.seen_in_calibration { "calibration image" } else { "held-out image" })
        }
        (None, Some(own)) => shorten(&own.command, 40),
        (None, None) => "answers as the dense model's".to_owned(),
    };
    let engine = summary.device.as_ref().map_or(&summary.engine, |own| &own.engine);
    let cost = match summary.latency_ms {
        Some(own) => format!("latency, share of the dense model's {:.3} ms", own.before),
        None => "multiply-accumulates, share of the dense model's".to_owned(),
    };
    let threads = plural(engine.threads, "thread");
    let place = summary.device.as_ref().map(|own| format!(" on {}", shorten(&own.device, 28))).unwrap_or_default();
    let ran = if engine.runs_models() {
        format!("{} on {}, {threads}", engine.name, engine.provider)
    } else {
        "timed".into()
    };
    let how = format!("{images}; {ran}{place}; bars: 95 %");
    writeln!(out, "<text class=\"faint\" x=\"{LEFT}\" y=\"40\">{}</text>", escaped(&how))?;
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for tick in x.ticks() {
        let at = x.at(tick);
        writeln!(out, "<path class=\"grid\" d=\"M{at:.1} {TOP}V{bottom}\"/>")?;
        let text = x.text(tick);
        writeln!(out, "<text text-anchor=\"middle\" x=\"{at:.1}\" y=\"{:.1}\">{text}</text>", bottom + 17.0)?;
    }
    for tick in y.ticks() {
        let at = y.at(tick);
        writeln!(out, "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right}\"/>")?;
        let text = y.text(tick);
        writeln!(out, "<text text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>", LEFT - 7.0, at + 4.0)?;
    }
    writeln!(out, "<path class=\"axis\" fill=\"none\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>")?;
    let middle = f64::midpoint(LEFT, right);
    writeln!(out, "<text text-anchor=\"middle\" x=\"{middle}\" y=\"{:.1}\">{cost}</text>", HEIGHT - 12.0)?;
    let worth = match (&summary.accuracy, first.metric()) {
        (Some(_), _) => "top-1, %",
        (None, Some(own)) if own.lower_is_better => "metric, lower is better",
        (None, Some(_)) => "metric",
        (None, None) => "agreement, %",
    };
    let at = f64::midpoint(TOP, bottom);
    writeln!(out, "<text text-anchor=\"middle\" transform=\"translate(16 {at}) rotate(-90)\">{worth}</text>")
}

/// Which colour is which.
fn key(out: &mut String, precision: &str) -> Result<(), Error> {
    for (class, name, at) in [("on", "as it was", WIDTH - 180.0), ("on8", precision, WIDTH - 88.0)] {
        writeln!(out, "<circle class=\"{class}\" cx=\"{at}\" cy=\"18\" r=\"4\"/>")?;
        writeln!(out, "<text x=\"{}\" y=\"22\">{name}</text>", at + 9.0)?;
    }
    Ok(())
}

fn draw(out: &mut String, axes: &Axes, point: &Point, [bar, dot]: [&str; 2]) -> Result<(), Error> {
    let [left, cx, right] = point.x.map(|value| axes.x.at(value));
    let [low, cy, high] = point.y.map(|value| axes.y.at(value));
    writeln!(out, "<path class=\"{bar}\" d=\"M{left:.1} {cy:.1}H{right:.1}M{cx:.1} {low:.1}V{high:.1}\"/>")?;
    writeln!(out, "<circle class=\"{dot}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"4\"/>")
}

/// Size of a name, about.
const NAME: (f64, f64) = (38.0, 13.0);

/// A rectangle: left, top, right, bottom.
type Area = [f64; 4];

/// Writes the names, each beside its point where it hides least of the other points, their intervals and names.
fn names(out: &mut String, axes: &Axes, points: &[&Point]) -> Result<(), Error> {
    let mut taken: Vec<Area> = points.iter().flat_map(|point| marks(axes, point)).collect();
    for point in points {
        let (cx, cy) = (axes.x.at(point.x[1]), axes.y.at(point.y[1]));
        let places =
            [(8.0, 15.0), (8.0, -7.0), (-8.0, 15.0), (-8.0, -7.0)].map(|(dx, dy)| (cx + dx, cy + dy, dx < 0.0));
        let area = |&(at, base, left): &(f64, f64, bool)| -> Area {
            let from = if left { at - NAME.0 } else { at };
            [from, base - NAME.1 + 3.0, from + NAME.0, base + 3.0]
        };
        let inside = |area: &Area| area[0] > LEFT && area[2] < WIDTH - 2.0;
        let hidden = |place: &(f64, f64, bool)| {
            let own = area(place);
            taken.iter().filter(|other| meet(&own, other)).count() + if inside(&own) { 0 } else { taken.len() }
        };
        let best = places.iter().min_by_key(|place| hidden(place)).copied().unwrap_or(places[0]);
        let anchor = if best.2 { "end" } else { "start" };
        writeln!(out, "<text text-anchor=\"{anchor}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>", best.0, best.1, point.label)?;
        taken.push(area(&best));
    }
    Ok(())
}

/// What a point and its intervals cover.
fn marks(axes: &Axes, point: &Point) -> [Area; 3] {
    let [left, cx, right] = point.x.map(|value| axes.x.at(value));
    let [low, cy, high] = point.y.map(|value| axes.y.at(value));
    [[cx - 5.0, cy - 5.0, cx + 5.0, cy + 5.0], [left, cy - 1.0, right, cy + 1.0], [cx - 1.0, high, cx + 1.0, low]]
}

fn meet(a: &Area, b: &Area) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

/// Cost to the right, what is kept upwards.
struct Axes {
    x: Axis,
    y: Axis,
}

/// From values to places.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// Holds all values between round numbers; `from` and `to` are the places of the ends.
    fn new(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), own| (low.min(own), high.max(own)));
        let span = (high - low).max(1e-6);
        let magnitude = 10.0_f64.powf((span / 5.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * magnitude).into_iter().find(|step| span / step <= 6.0);
        let step = step.unwrap_or(span);
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (self.to - self.from) * (value - self.low) / (self.high - self.low).max(1e-9)
    }

    fn ticks(&self) -> Vec<f64> {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a handful of ticks")]
        let count = ((self.high - self.low) / self.step).round() as u32;
        (0..=count).map(|tick| self.low + self.step * f64::from(tick)).collect()
    }

    fn text(&self, tick: f64) -> String {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number of digits")]
        let digits = (-self.step.log10().floor()).max(0.0) as usize;
        format!("{tick:.digits$}")
    }
}
