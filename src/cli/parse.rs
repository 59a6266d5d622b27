//! Values of flags.

use crate::calibration::Resize;
use crate::device::Target as Device;
use crate::evaluate::BoxForm;
use crate::pipeline::{Depth, LatencyTarget, NamedOutputs, RoundTo};
use crate::plan::Target;
use crate::quantize::RangeMethod;

/// `0.5` (a share), `1.5G`, `300M`, `20k` or a plain number above 1.
pub(super) fn target(text: &str) -> Result<Target, String> {
    let (digits, factor) = match text.trim().char_indices().next_back() {
        Some((at, 'k' | 'K')) => (text.trim().get(..at), 1e3),
        Some((at, 'M')) => (text.trim().get(..at), 1e6),
        Some((at, 'G')) => (text.trim().get(..at), 1e9),
        _ => (Some(text.trim()), 1.0),
    };
    let number: f64 = digits
        .and_then(|digits| digits.parse().ok())
        .ok_or("a share such as 0.5 or a number such as 1.5G is wanted")?;
    match number * factor {
        wanted if !wanted.is_finite() || wanted <= 0.0 => Err("a finite number above 0 is wanted".into()),
        wanted if factor > 1.0 || wanted > 1.0 => Ok(Target::Absolute(wanted)),
        share => Ok(Target::Share(share)),
    }
}

/// As [`target`], with bytes: `0.5`, `800k`, `2M`, `2MB`.
pub(super) fn size_bytes(text: &str) -> Result<Target, String> {
    let number = text.trim().strip_suffix('B').unwrap_or(text);
    target(number).map_err(|_| "a share such as 0.5 or a size such as 800k or 2MB is wanted".into())
}

/// `2G`, `800MB` or a number of bytes.
pub(super) fn memory(text: &str) -> Result<u64, String> {
    match size_bytes(text) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a finite number above 1")]
        Ok(Target::Absolute(bytes)) => Ok(bytes as u64),
        _ => Err("a size such as 2G or 800MB is wanted".into()),
    }
}

/// `0.7` (a share below 1) or `5ms`.
pub(super) fn latency(text: &str) -> Result<LatencyTarget, String> {
    let (digits, ms) = text.trim().strip_suffix("ms").map_or((text, false), |digits| (digits, true));
    let number = digits.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    match number {
        Some(number) if ms => Ok(LatencyTarget::Ms(number)),
        Some(number) if number < 1.0 => Ok(LatencyTarget::Share(number)),
        _ => Err("a share below 1 such as 0.7 or a time such as 5ms is wanted".into()),
    }
}

/// `minmax`, `mse` or `percentile:99.99`.
pub(super) fn range_method(text: &str) -> Result<RangeMethod, String> {
    match text.trim().split_once(':') {
        None if text.trim() == "minmax" => Ok(RangeMethod::MinMax),
        None if text.trim() == "mse" => Ok(RangeMethod::Mse),
        Some(("percentile", share)) => {
            let share = share.parse::<f64>().ok().filter(|share| *share > 50.0 && *share <= 100.0);
            share.map(RangeMethod::Percentile).ok_or_else(|| "a percentile above 50, at most 100, is wanted".into())
        }
        _ => Err("minmax, mse or a percentile such as percentile:99.99 is wanted".into()),
    }
}

/// Points of accuracy, above 0 and at most 100.
pub(super) fn points(text: &str) -> Result<f64, String> {
    let number = text.trim().parse::<f64>().ok().filter(|number| *number > 0.0 && *number <= 100.0);
    number.ok_or_else(|| "points of accuracy such as 1.0, above 0 and at most 100, are wanted".into())
}

/// What may be lost: points of accuracy, or of a metric in its units. Which of them decides about the range.
pub(super) fn drop(text: &str) -> Result<f64, String> {
    let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "points of accuracy such as 0.5, or with `--metric` a number from 0, are wanted".into())
}

/// `boxes=NAME[:FORM],scores=NAME`, where FORM is one of xyxy, yxyx, cxcywh and xywh. Names may have colons.
pub(super) fn outputs(text: &str) -> Result<NamedOutputs, String> {
    let wanted = "boxes=NAME,scores=NAME is wanted, the boxes with :xyxy, :yxyx, :cxcywh or :xywh where that is known";
    let parts = text.strip_prefix("boxes=").and_then(|rest| rest.rsplit_once(",scores=")).or_else(|| {
        let (scores, boxes) = text.strip_prefix("scores=")?.rsplit_once(",boxes=")?;
        Some((boxes, scores))
    });
    let (boxes, scores) = parts.filter(|(boxes, scores)| !boxes.is_empty() && !scores.is_empty()).ok_or(wanted)?;
    let formed = boxes.rsplit_once(':').and_then(|(name, form)| Some((name, BoxForm::by_name(form)?)));
    let (name, form) = formed.map_or((boxes, None), |(name, form)| (name, Some(form)));
    if name.is_empty() {
        return Err(wanted.into());
    }
    Ok(NamedOutputs { boxes: name.to_owned(), form, scores: scores.to_owned() })
}

/// A command line that says something.
pub(super) fn command(text: &str) -> Result<String, String> {
    let said = !text.trim().is_empty() && !text.contains('\0');
    if said { Ok(text.to_owned()) } else { Err("a command line is wanted".into()) }
}

/// A ratio above 0.
pub(super) fn ratio(text: &str) -> Result<f64, String> {
    let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "a ratio above 0 such as 0.7 is wanted".into())
}

/// `KEY=VALUE` for an execution provider.
pub(super) fn provider_option(text: &str) -> Result<(String, String), String> {
    let plain = |text: &str| !text.contains('\0');
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() && plain(text) => Ok((key.trim().into(), value.trim().into())),
        _ => Err("a name of the provider's and its value are wanted, such as device_type=GPU".into()),
    }
}

/// `0.7`, `5ms`, or the same for one device: `ssh://board=5ms`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DeviceLatency {
    pub(super) device: Option<Device>,
    pub(super) latency: LatencyTarget,
}

pub(super) fn device_latency(text: &str) -> Result<DeviceLatency, String> {
    match text.rsplit_once('=') {
        None => Ok(DeviceLatency { device: None, latency: latency(text)? }),
        Some((device, own)) => Ok(DeviceLatency { device: Some(device.parse()?), latency: latency(own)? }),
    }
}

/// Numbers of cores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cores(pub(super) Vec<usize>);

/// `0`, `0,2` or `0-3,6`.
pub(super) fn cores(text: &str) -> Result<Cores, String> {
    const MOST: usize = 1024;
    let number = |part: &str| part.trim().parse::<usize>().ok().filter(|&core| core < MOST);
    let range = |part: &str| match part.split_once('-') {
        Some((from, to)) => number(from).zip(number(to)).filter(|(from, to)| from <= to).map(|(from, to)| from..=to),
        None => number(part).map(|core| core..=core),
    };
    let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
    let mut cores: Vec<usize> = ranges.ok_or("cores such as 0,2-3 are wanted")?.into_iter().flatten().collect();
    cores.sort_unstable();
    cores.dedup();
    Ok(Cores(cores))
}

/// Shares of a sweep, from the mildest cut to the strongest.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shares(pub(super) Vec<f64>);

/// `0.9..0.3` in steps of 0.1, `0.9..0.3:0.05`, or single shares such as `0.9,0.7,0.5`.
pub(super) fn sweep(text: &str) -> Result<Shares, String> {
    if text.contains("..") { steps(text) } else { listed(text) }.map(Shares)
}

fn between_0_and_1(shares: &[f64]) -> Result<(), String> {
    let all = shares.iter().all(|&share| share > 0.0 && share < 1.0);
    if all { Ok(()) } else { Err("the shares of a sweep lie between 0 and 1".into()) }
}

/// Shares are parts of file names: three digits.
fn three_digits(share: f64) -> f64 {
    (share * 1e3).round() / 1e3
}

fn decimal(part: &str) -> Option<f64> {
    part.trim().parse::<f64>().ok().filter(|number| number.is_finite())
}

fn steps(text: &str) -> Result<Vec<f64>, String> {
    const MOST: f64 = 50.0;
    let (range, step) = text.split_once(':').unwrap_or((text, "0.1"));
    let parsed = range.split_once("..").and_then(|(from, to)| Some((decimal(from)?, decimal(to)?, decimal(step)?)));
    let (from, to, step) = parsed.ok_or("a range such as 0.9..0.3 or 0.9..0.3:0.05 is wanted")?;
    between_0_and_1(&[from, to])?;
    if from < to {
        return Err(format!("a sweep goes from the mildest cut to the strongest: {to}..{from}"));
    }
    if step < 0.01 || (from - to) / step > MOST {
        return Err(format!("steps of at least 0.01, and at most {MOST} of them, are wanted"));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 50")]
    let steps = ((from - to) / step + 1e-6).floor() as u32;
    Ok((0..=steps).map(|at| three_digits(from - step * f64::from(at))).collect())
}

fn listed(text: &str) -> Result<Vec<f64>, String> {
    let parsed: Option<Vec<f64>> = text.split(',').map(decimal).collect();
    let parsed = parsed.ok_or("a range such as 0.9..0.3, or shares such as 0.9,0.7,0.5, are wanted")?;
    let mut shares: Vec<f64> = parsed.into_iter().map(three_digits).collect();
    between_0_and_1(&shares)?;
    shares.sort_by(|a, b| b.total_cmp(a));
    shares.dedup();
    Ok(shares)
}

/// `224x224`, or `224` for a square.
pub(super) fn size(text: &str) -> Result<(usize, usize), String> {
    let number = |part: &str| part.parse::<usize>().ok().filter(|&size| (1..=65_536).contains(&size));
    let parsed = match text.split_once('x') {
        Some((height, width)) => number(height).zip(number(width)),
        None => number(text).map(|side| (side, side)),
    };
    parsed.ok_or_else(|| "HEIGHTxWIDTH such as 224x224 is wanted".into())
}

/// `short:256`, `exact` or `none`.
pub(super) fn resize(text: &str) -> Result<Resize, String> {
    match text.split_once(':') {
        Some(("short", side)) => {
            side.parse().map(Resize::Short).map_err(|_| "`short:` wants a number of pixels".into())
        }
        None if text == "exact" => Ok(Resize::Exact),
        None if text == "none" => Ok(Resize::None),
        _ => Err("`short:PIXELS`, `exact` or `none` is wanted".into()),
    }
}

/// `auto` or a whole number.
pub(super) fn round_to(text: &str) -> Result<RoundTo, String> {
    if text == "auto" {
        return Ok(RoundTo::Auto);
    }
    let number = text.parse::<usize>().ok().filter(|&step| (1..=1024).contains(&step));
    number.map(RoundTo::Multiple).ok_or_else(|| "`auto` or a number from 1 to 1024 is wanted".into())
}

/// Whether blocks go whole.
pub(super) fn depth(text: &str) -> Result<Depth, String> {
    match text {
        "auto" => Ok(Depth::Auto),
        "off" => Ok(Depth::Off),
        number => number.parse().map(Depth::Blocks).map_err(|_| "`auto`, `off` or a number of blocks is wanted".into()),
    }
}

/// `NAME=SIZE`, where NAME is a symbolic dim or INPUT:AXIS.
pub(super) fn dim(text: &str) -> Result<(String, usize), String> {
    let parsed = text.rsplit_once('=').and_then(|(name, size)| Some((name.to_owned(), size.parse().ok()?)));
    parsed.filter(|(name, size)| !name.is_empty() && *size > 0).ok_or_else(|| "NAME=SIZE is wanted".into())
}

/// Weights of classes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ClassWeights(pub(super) Vec<(String, f64)>);

/// `NAME=W,NAME=W`, or a file of lines `NAME=W`. Empty lines and lines that begin with `#` say nothing.
pub(super) fn class_weights(text: &str) -> Result<ClassWeights, String> {
    let file = std::fs::read_to_string(text);
    let content = match &file {
        Ok(content) => content.as_str(),
        Err(_) if text.contains('=') => text,
        Err(error) => return Err(format!("neither NAME=W,... nor a file that can be read: {error}")),
    };
    let entry = |part: &str| {
        let (name, weight) = part.rsplit_once('=')?;
        let weight = weight.trim().parse::<f64>().ok().filter(|weight| weight.is_finite() && *weight >= 0.0)?;
        Some((name.trim().to_owned(), weight)).filter(|(name, _)| !name.is_empty())
    };
    let separators: &[char] = if file.is_ok() { &['\n'] } else { &[','] };
    content
        .split(separators)
        .map(str::trim)
        .filter(|part| !part.is_empty() && !part.starts_with('#'))
        .map(|part| entry(part).ok_or_else(|| format!("`{part}` is not NAME=W with a weight of at least 0")))
        .collect::<Result<Vec<_>, _>>()
        .and_then(|all| if all.is_empty() { Err("no weights are given".into()) } else { Ok(ClassWeights(all)) })
}

/// A share in [0, 1).
pub(super) fn share(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.0..1.0).contains(number));
    number.ok_or_else(|| "a number from 0 to below 1 is wanted".into())
}

/// A finite number.
pub(super) fn finite(text: &str) -> Result<f32, String> {
    let number = text.trim().parse::<f32>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| "finite numbers such as 0.485 are wanted".into())
}

/// A finite number above 0.
pub(super) fn positive(text: &str) -> Result<f32, String> {
    finite(text).ok().filter(|&number| number > 0.0).ok_or_else(|| "a finite number above 0 is wanted".into())
}

/// A number of images, or all.
pub(super) fn samples(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ if text == "all" => Ok(usize::MAX),
        _ => Err(format!("`{text}` is no number of images from 1, nor `all`")),
    }
}

/// A time in seconds, or 0.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is not a number of seconds"))?;
    if value.is_finite() && value >= 0.0 { Ok(value) } else { Err(format!("`{text}` is not a time")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets() {
        assert_eq!(target("0.5"), Ok(Target::Share(0.5)));
        assert_eq!(target("1.5G"), Ok(Target::Absolute(1.5e9)));
        assert_eq!(target("20000"), Ok(Target::Absolute(20_000.0)));
        assert!(target("inf").is_err() && target("nan").is_err() && target("1e308G").is_err());
        assert!(finite("-0.5").is_ok() && finite("nan").is_err() && positive("0").is_err());
        assert!(target("-1").is_err() && target("half").is_err() && target("").is_err() && target("é").is_err());
    }

    #[test]
    fn measured_budgets() {
        assert_eq!(latency("0.7"), Ok(LatencyTarget::Share(0.7)));
        assert_eq!(latency("2.5ms"), Ok(LatencyTarget::Ms(2.5)));
        let own = device_latency("ssh://board=2.5ms").unwrap();
        assert_eq!((own.device.unwrap().to_string().as_str(), own.latency), ("ssh://board", LatencyTarget::Ms(2.5)));
        assert_eq!(device_latency("0.7"), Ok(DeviceLatency { device: None, latency: LatencyTarget::Share(0.7) }));
        assert!(device_latency("board=1ms").is_err() && device_latency("ssh://board=").is_err());
        assert!(provider_option("device_type=GPU").is_ok() && provider_option("=1").is_err());
        assert!(latency("1").is_err() && latency("0").is_err() && latency("nanms").is_err() && latency("7").is_err());
        assert_eq!(size_bytes("2MB"), Ok(Target::Absolute(2e6)));
        assert_eq!((size_bytes("800k"), size_bytes("0.5")), (Ok(Target::Absolute(8e5)), Ok(Target::Share(0.5))));
        assert!(size_bytes("B").is_err() && size_bytes("-1").is_err());
        assert!(points("1.0").is_ok() && points("0").is_err() && points("101").is_err() && points("nan").is_err());
    }

    #[test]
    fn cores_and_ratios() {
        assert_eq!(cores("3,0-1,1").unwrap().0, [0, 1, 3]);
        assert!(cores("").is_err() && cores("2-1").is_err() && cores("a").is_err() && cores("0,99999").is_err());
        assert!(ratio("0.7").is_ok() && ratio("1.2").is_ok() && ratio("0").is_err() && ratio("inf").is_err());
        assert!(drop("0").is_ok() && drop("250").is_ok() && drop("-1").is_err() && drop("nan").is_err());
        assert!(command("wc -c").is_ok() && command(" ").is_err());
    }

    #[test]
    fn named_outputs() {
        let named = |boxes: &str, form, scores: &str| NamedOutputs { boxes: boxes.into(), form, scores: scores.into() };
        assert_eq!(outputs("boxes=b,scores=s"), Ok(named("b", None, "s")));
        assert_eq!(outputs("scores=s:0,boxes=b:0"), Ok(named("b:0", None, "s:0")));
        assert_eq!(outputs("boxes=b:0:xywh,scores=b:0"), Ok(named("b:0", Some(BoxForm::Xywh), "b:0")));
        for bad in ["", "boxes=b", "boxes=,scores=s", "boxes=:xyxy,scores=s", "b,s", "scores=s"] {
            assert!(outputs(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sweeps() {
        assert_eq!(sweep("0.9..0.7").unwrap().0, [0.9, 0.8, 0.7]);
        assert_eq!(sweep("0.9..0.76:0.05").unwrap().0, [0.9, 0.85, 0.8]);
        assert_eq!(sweep("0.5..0.5").unwrap().0, [0.5]);
        assert_eq!(sweep("0.5, 0.9,0.75,0.9").unwrap().0, [0.9, 0.75, 0.5]);
        assert_eq!(sweep("0.4").unwrap().0, [0.4]);
        assert!(sweep("0.3..0.9").unwrap_err().contains("0.9..0.3"));
        for bad in [
            "",
            "0.9,",
            "0.9,1",
            "0.9,half",
            "0.0001",
            "0.9..",
            "1..0.5",
            "0.9..0",
            "0.9..0:0.5",
            "0.9..0.3:0",
            "0.9..0.1:0.001",
            "a..b",
            "0.9..nan",
            "0.9..0.3:",
        ] {
            assert!(sweep(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_and_resizes() {
        assert_eq!(size("224x160"), Ok((224, 160)));
        assert_eq!(size("32"), Ok((32, 32)));
        assert!(size("0x3").is_err());
        assert_eq!(resize("short:256"), Ok(Resize::Short(256)));
        assert!(resize("short:x").is_err() && resize("big").is_err());
        assert_eq!(dim("batch=4"), Ok(("batch".into(), 4)));
        assert_eq!(dim("a=b:2=4"), Ok(("a=b:2".into(), 4)));
    }
}
