//! Blocks: which are found, and that every one can go.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use onnx_prune::channels::{AnalyseOptions, BlockKind, Channels, Cut, analyse};
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
    let tidied = tidy(sliced.clone(), channels, cut).map_err(|error| said(&error))?;
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
    let cost = channels.cost_model().without_blocks(cut, &channels.gone_groups(cut));
    let widths: Vec<usize> = cost.full().to_vec();
    let whole = cost.at(onnx_prune::channels::Measure::Params, &widths);
    // Weights that others read too stay.
    if whole > cost.dense(onnx_prune::channels::Measure::Params) {
        return Err("more parameters are counted than there were".into());
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
        let without = Cut::block(&channels, blocks[0]).with_blocks(&channels, &blocks);
        let mut narrowed = kept(&channels, problem.seed);
        for group in channels.whole_groups(&without) {
            narrowed[group].clone_from(&whole[group]);
        }
        for kept in [whole, narrowed] {
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

/// Models by name with the number of their blocks: residual, with a shortcut of its own, layers, branches.
const COUNTS: [(&str, [usize; 4]); 92] = [
    ("cifar10_resnet20", [7, 2, 0, 0]),
    ("cifar10_resnet20_bn", [7, 2, 0, 0]),
    ("cifar10_resnet56", [25, 2, 0, 0]),
    ("cifar10_resnet56_bn", [25, 2, 0, 0]),
    ("cifar_resnet20", [7, 2, 0, 0]),
    ("cifar_resnet20_bare", [7, 2, 0, 0]),
    ("cifar_resnet20_dead_bn", [7, 2, 0, 0]),
    ("cifar_resnet20_dynamic_batch", [7, 2, 0, 0]),
    ("cifar_resnet20_dynamo", [7, 2, 0, 0]),
    ("cifar_resnet20_qdq", [7, 2, 0, 0]),
    ("cifar_resnet20_shared", [7, 2, 0, 0]),
    ("convnext_small_width", [8, 0, 0, 0]),
    ("convnext_small_width_dynamo", [8, 0, 0, 0]),
    ("crnn", [0, 0, 0, 0]),
    ("cs3darknet_s", [9, 0, 0, 0]),
    ("deeplabv3_mobilenet", [10, 0, 3, 4]),
    ("densenet121", [0, 0, 2, 4]),
    ("densenet121_dynamo", [0, 0, 2, 4]),
    ("dynamic_segmenter", [0, 0, 2, 1]),
    ("edge_broadcast_adds", [0, 0, 1, 0]),
    ("edge_channel_reductions", [0, 0, 0, 0]),
    ("edge_channel_shuffle", [0, 0, 2, 0]),
    ("edge_conv1d_net", [0, 0, 1, 0]),
    ("edge_conv3d_net", [1, 0, 0, 0]),
    ("edge_decomposed_layer_norm", [1, 0, 0, 0]),
    ("edge_dense_block", [0, 0, 0, 1]),
    ("edge_fused_qkv_attention", [1, 0, 0, 0]),
    ("edge_grouped_to_grouped", [0, 0, 1, 0]),
    ("edge_identity_merged_tensors", [0, 0, 1, 0]),
    ("edge_input_in_concat", [0, 0, 0, 1]),
    ("edge_keras_like_nhwc", [1, 0, 1, 1]),
    ("edge_option_a_shortcut", [0, 1, 0, 0]),
    ("edge_overlapping_slices", [0, 0, 0, 1]),
    ("edge_paddle_like", [1, 0, 0, 0]),
    ("edge_preactivation_bn", [2, 0, 0, 0]),
    ("edge_run_time_chunk", [0, 0, 0, 1]),
    ("edge_se_gate", [0, 0, 0, 0]),
    ("edge_tied_weights", [0, 0, 2, 0]),
    ("edge_two_in_two_out", [0, 0, 0, 0]),
    ("efficientnet_b0", [9, 0, 0, 0]),
    ("efficientnet_b0_dynamo", [9, 0, 0, 0]),
    ("fcn_two_heads", [5, 3, 0, 0]),
    ("generator", [0, 0, 0, 0]),
    ("ghostnet_100", [11, 5, 0, 0]),
    ("ghostnet_100_dynamo", [11, 5, 0, 0]),
    ("googlenet", [0, 0, 0, 27]),
    ("hrnet_w18_small", [18, 8, 0, 0]),
    ("imagenet_mobilenet_v2", [10, 0, 3, 0]),
    ("inception_v3", [0, 0, 31, 35]),
    ("mixer_small_width", [8, 0, 0, 0]),
    ("mnasnet0_5", [10, 0, 3, 0]),
    ("mobilenet_v2", [10, 0, 3, 0]),
    ("mobilenet_v2_dynamo", [10, 0, 3, 0]),
    ("mobilenet_v3_small", [6, 0, 0, 0]),
    ("mobilenet_v3_small_dynamo", [6, 0, 1, 0]),
    ("mobilenet_v3_small_qdq", [6, 0, 2, 0]),
    ("nf_regnet_b0", [12, 4, 0, 0]),
    ("preact_resnet", [4, 2, 0, 0]),
    ("regnet_y_400mf", [12, 4, 0, 0]),
    ("repvgg_a0", [0, 39, 0, 0]),
    ("res2net_short", [0, 4, 0, 0]),
    ("resnet10_bn_op11", [1, 3, 0, 0]),
    ("resnet10_bn_op17", [1, 3, 0, 0]),
    ("resnet10_folded_op13", [1, 3, 0, 0]),
    ("resnet10_folded_op20", [1, 3, 0, 0]),
    ("resnet18", [5, 3, 0, 0]),
    ("resnet18_dynamo", [5, 3, 0, 0]),
    ("resnet18_fp16", [5, 3, 0, 0]),
    ("resnet18_ort_extended", [5, 3, 0, 0]),
    ("resnet50", [12, 4, 0, 0]),
    ("resnetv2_standardised", [0, 2, 0, 0]),
    ("resnext14_32x4d", [0, 4, 0, 0]),
    ("shufflenet_v2_x0_5", [0, 0, 0, 0]),
    ("squeezenet1_1", [0, 0, 0, 8]),
    ("squeezenet1_1_dynamo", [0, 0, 0, 8]),
    ("squeezenet1_1_external", [0, 0, 0, 8]),
    ("super_resolution", [4, 1, 0, 0]),
    ("super_resolution_dynamo", [4, 1, 0, 0]),
    ("swin_small_width", [12, 0, 0, 0]),
    ("tf_efficientnet_lite0", [9, 0, 3, 0]),
    ("unet", [0, 0, 5, 2]),
    ("unet_bilinear", [0, 0, 5, 2]),
    ("unet_dynamo", [0, 0, 5, 2]),
    ("unet_fp16_io32", [0, 0, 5, 2]),
    ("vgg16_bn_narrow", [0, 0, 8, 0]),
    ("vit_small_width", [8, 0, 0, 0]),
    ("vit_small_width_dynamo", [8, 0, 0, 0]),
    ("wide_resnet14_2", [0, 4, 0, 0]),
    ("yolo_like", [6, 0, 0, 6]),
    ("yolo_like_decoded", [6, 0, 0, 6]),
    ("yolo_like_dynamo", [6, 0, 0, 6]),
    ("yolo_like_simplified", [6, 0, 0, 6]),
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
            let kinds = [BlockKind::Residual, BlockKind::Stage, BlockKind::Layer, BlockKind::Branch];
            let found = kinds.map(|kind| channels.blocks.iter().filter(|block| block.kind == kind).count());
            let known = COUNTS.iter().find(|(known, _)| *known == stem);
            if let Some((_, known)) = known.filter(|(_, known)| *known != found) {
                failed.push(format!("{stem}: {found:?} blocks, not {known:?}"));
            }
            let feed = random_inputs(&input_specs(&model), &BTreeMap::new(), 1, 7);
            for (at, block) in channels.blocks.iter().enumerate() {
                if let Err(why) = holds(engine.as_ref(), &model, &channels, &Cut::block(&channels, at), &feed) {
                    failed.push(format!("{stem}: {}: {why}", block.name));
                }
            }
            println!("{stem:<36} {found:?}");
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
