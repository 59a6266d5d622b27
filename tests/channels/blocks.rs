//! Blocks: which are found, and that every one can go.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use onnx_prune::channels::{AnalyseOptions, Channels, Cut, analyse};
use onnx_prune::engine::{Engine, Feed};
use onnx_prune::evaluate::{compare, input_specs, random_inputs};
use onnx_prune::model::{LoadOptions, Model};
use onnx_prune::rewrite::{mask, slice, tidy};
use proptest::prelude::*;

use crate::support::problem::{cases, kept, problem, runner};
use crate::support::{self, Builder};
use crate::{engine, shapes};

/// That a cut with blocks leaves a valid model, which computes what the masked one does, with and without what blocks leave
/// behind, and that the counted cost is the model's own.
fn holds(engine: &dyn Engine, model: &Model, channels: &Channels, cut: &Cut, feed: &Feed) -> Result<(), String> {
    let said = |error: &dyn std::error::Error| error.to_string();
    let sliced = slice(model, channels, cut).map_err(|error| said(&error))?;
    let masked = mask(model, channels, cut).map_err(|error| said(&error))?;
    let tidied = tidy(&sliced, channels, cut).map_err(|error| said(&error))?;
    if shapes(engine, &tidied, feed)? != shapes(engine, model, feed)? {
        return Err("the interface changed".into());
    }
    for own in [&sliced, &tidied] {
        compare(engine, &masked, own, std::slice::from_ref(feed)).map_err(|error| said(&error))?;
    }
    let left = analyse(&tidied, &AnalyseOptions::default()).macs(None);
    if channels.macs(Some(cut)) != left {
        return Err(format!("{} MACs counted, {left} are there", channels.macs(Some(cut))));
    }
    let cost = channels.cost_model().without_blocks(cut);
    let widths: Vec<usize> = cost.full().to_vec();
    let whole = cost.at(onnx_prune::channels::Measure::Params, &widths);
    if whole >= cost.dense(onnx_prune::channels::Measure::Params) {
        return Err("no parameter goes with the block".into());
    }
    Ok(())
}

#[test]
fn any_blocks_and_channels_of_random_graphs_can_go() {
    let cases = cases("ONNX_PRUNE_BLOCKS", 500);
    let engine = engine();
    let (gone, graphs) = (Cell::new(0_usize), Cell::new(0_usize));
    let result = runner(cases).run(&problem(4..10), |problem| {
        let model = problem.build();
        let feed = random_inputs(&input_specs(&model), &BTreeMap::new(), 1, problem.seed);
        let channels = analyse(&model, &AnalyseOptions::default());
        if channels.blocks.is_empty() || shapes(engine.as_ref(), &model, &feed).is_err() {
            return Ok(());
        }
        let blocks: Vec<usize> =
            (0..channels.blocks.len()).filter(|&at| at == 0 || problem.seed >> (at % 60) & 1 == 1).collect();
        graphs.set(graphs.get() + 1);
        gone.set(gone.get() + blocks.len());
        let whole: Vec<Vec<usize>> = channels.groups.iter().map(|group| (0..group.width()).collect()).collect();
        for kept in [whole, kept(&channels, problem.seed)] {
            let cut = Cut::new(&channels, &kept).with_blocks(&channels, &blocks);
            holds(engine.as_ref(), &model, &channels, &cut, &feed).map_err(TestCaseError::fail)?;
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    println!("{} of {cases} graphs have blocks, {} went", graphs.get(), gone.get());
    assert!(graphs.get() * 20 > cases as usize, "the graphs have too few blocks");
}

/// Models by name with the number of their blocks, and of those with an identity shortcut.
const COUNTS: [(&str, usize, usize); 40] = [
    ("cifar10_resnet20", 9, 7),
    ("cifar10_resnet20_bn", 9, 7),
    ("cifar10_resnet56", 27, 25),
    ("cifar10_resnet56_bn", 27, 25),
    ("imagenet_mobilenet_v2", 10, 10),
    ("cifar_resnet20_qdq", 9, 7),
    ("cifar_resnet20_shared", 9, 7),
    ("convnext_small_width", 8, 8),
    ("cs3darknet_s", 9, 9),
    ("deeplabv3_mobilenet", 10, 10),
    ("densenet121", 0, 0),
    ("edge_conv3d_net", 1, 1),
    ("edge_decomposed_layer_norm", 1, 1),
    ("edge_fused_qkv_attention", 1, 1),
    ("edge_keras_like_nhwc", 1, 1),
    ("edge_option_a_shortcut", 1, 0),
    ("edge_paddle_like", 1, 1),
    ("edge_preactivation_bn", 2, 2),
    ("edge_broadcast_adds", 0, 0),
    ("edge_se_gate", 0, 0),
    ("efficientnet_b0", 9, 9),
    ("fcn_two_heads", 8, 5),
    ("ghostnet_100", 16, 11),
    ("googlenet", 0, 0),
    ("hrnet_w18_small", 26, 18),
    ("mixer_small_width", 8, 8),
    ("mnasnet0_5", 10, 10),
    ("mobilenet_v3_small", 6, 6),
    ("mobilenet_v3_small_qdq", 6, 6),
    ("nf_regnet_b0", 16, 12),
    ("preact_resnet", 6, 4),
    ("regnet_y_400mf", 16, 12),
    ("repvgg_a0", 39, 0),
    ("resnet18_fp16", 8, 5),
    ("resnet50", 16, 12),
    ("squeezenet1_1", 0, 0),
    ("swin_small_width", 12, 12),
    ("unet", 0, 0),
    ("vit_small_width", 8, 8),
    ("yolo_like", 6, 6),
];

/// Every block of the shared models and, with `ONNX_PRUNE_ZOO=DIR`, of the models there.
#[test]
fn every_block_of_a_model_can_go_alone() {
    let name = "every_block_of_a_model_can_go_alone";
    let Some(shared) = support::shared(name) else { return };
    let engine = engine();
    let folders = [Some(shared.join("models")), std::env::var_os("ONNX_PRUNE_ZOO").map(PathBuf::from)];
    let mut failed = Vec::new();
    for folder in folders.into_iter().flatten() {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "onnx")).collect();
        files.sort();
        for file in files {
            let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
            let Ok(model) = Model::load(&file, &LoadOptions::default()) else { continue };
            let channels = analyse(&model, &AnalyseOptions::default());
            let found = (channels.blocks.len(), channels.blocks.iter().filter(|block| block.identity).count());
            if let Some(&(_, all, identity)) = COUNTS.iter().find(|(known, ..)| *known == stem) {
                assert_eq!(found, (all, identity), "{stem}");
            }
            let feed = random_inputs(&input_specs(&model), &BTreeMap::new(), 1, 7);
            for (at, block) in channels.blocks.iter().enumerate() {
                if let Err(why) = holds(engine.as_ref(), &model, &channels, &Cut::block(&channels, at), &feed) {
                    failed.push(format!("{stem}: {}: {why}", block.name));
                }
            }
            println!("{stem:<36} {:>3} blocks, {:>3} with an identity shortcut", found.0, found.1);
        }
    }
    assert!(failed.is_empty(), "{} blocks cannot go:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn a_mask_made_from_the_shape_of_a_value_is_no_shortcut() {
    // x -> conv -> a; the zeros of the shape of x, times a stored tensor, are added to it.
    let mut graph = Builder::new(&[1, 4, 6, 6]);
    let made = graph.conv("x", 4, 4, 1);
    let shape = graph.node("Shape", &["x"], &[]);
    let zeros = graph.node("ConstantOfShape", &[&shape], &[]);
    let sum = graph.node("Add", &[&made, &zeros], &[]);
    let model = graph.model(&sum);
    assert!(analyse(&model, &AnalyseOptions::default()).blocks.is_empty());
}

#[test]
fn nested_blocks_go_once() {
    // Two residual blocks in the branch of a third.
    let mut graph = Builder::new(&[1, 4, 6, 6]);
    let stem = graph.conv("x", 4, 4, 1);
    let mut value = stem.clone();
    for _ in 0..2 {
        let branch = graph.conv(&value, 4, 4, 1);
        let branch = graph.relu(&branch);
        let branch = graph.conv(&branch, 4, 4, 1);
        value = graph.node("Add", &[&value, &branch], &[]);
    }
    let branch = graph.conv(&value, 4, 4, 1);
    let sum = graph.node("Add", &[&branch, &stem], &[]);
    let end = graph.conv(&sum, 4, 4, 1);
    let model = graph.model(&end);
    let channels = analyse(&model, &AnalyseOptions::default());
    assert_eq!(channels.blocks.iter().map(|block| block.nodes.len()).collect::<Vec<_>>(), [3, 3, 9]);
    let engine = engine();
    let feed = random_inputs(&input_specs(&model), &BTreeMap::new(), 1, 3);
    for blocks in [vec![0], vec![0, 1], vec![1, 2], vec![2], vec![0, 1, 2]] {
        let whole: Vec<Vec<usize>> = channels.groups.iter().map(|group| (0..group.width()).collect()).collect();
        let cut = Cut::new(&channels, &whole).with_blocks(&channels, &blocks);
        holds(engine.as_ref(), &model, &channels, &cut, &feed).unwrap();
    }
}
