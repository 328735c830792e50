"""Runs a YOLOv8 detector in onnxruntime on pictures that are drawn here, and stores what it computes.

make_detector_goldens.py FILE.onnx FOLDER DATA: writes FOLDER/io.safetensors and FOLDER/face.png, and DATA/kinds.onnx, a
small file for the reader's tests. Of the network's output every seventh box is stored. What is found follows from the whole output by the rule of `libs/models/src/detector`:
every class on its own, greedily, at least 0.2 sure, the same thing from an overlap of 0.45 on.
"""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
import torch
from PIL import Image, ImageDraw
from safetensors.numpy import save_file

SIDE = 320
MIN_SCORE, SAME_THING = 0.2, 0.45
EVERY = 7
# Pictures are drawn four times as large and scaled down, so that edges are smooth.
FINER = 4


def shade(colour, factor):
    return tuple(int(min(255, value * factor)) for value in colour)


def face(side=96):
    """A plain drawing of a head with long hair, which the network takes for a face."""
    size = side * FINER
    image = Image.new("RGB", (size, size), (132, 111, 81))
    draw = ImageDraw.Draw(image)
    skin, hair, shirt, lips = (215, 170, 140), (60, 40, 25), (60, 80, 120), (170, 80, 80)
    x, y, w = size * 0.5, size * 0.45, size * 0.18
    h = w * 1.35

    def ellipse(cx, cy, rx, ry, colour):
        draw.ellipse([cx - rx, cy - ry, cx + rx, cy + ry], fill=colour)

    draw.ellipse([x - w * 1.35, y - h * 1.3, x + w * 1.35, y + h * 1.4], fill=hair)
    draw.ellipse([x - size * 0.442, y + h * 1.375, x + size * 0.442, size * 1.5], fill=shirt)
    draw.rectangle([x - w * 0.45, y + h * 0.6, x + w * 0.45, y + h * 1.5], fill=shade(skin, 0.85))
    for ring in range(8):
        part = 1 - ring * 0.06
        ellipse(x, y, w * part, h * part, shade(skin, 0.85 + 0.2 * ring / 7))
    draw.chord([x - w * 1.02, y - h * 1.05, x + w * 1.02, y - h * 0.3], 180, 360, fill=hair)
    for sign in (-1, 1):
        ex, ey, ew, eh = x + sign * w * 0.42, y - h * 0.1, w * 0.223, h * 0.0736
        draw.ellipse([ex - ew * 1.3, ey - eh * 2, ex + ew * 1.3, ey + eh * 1.6], fill=shade(skin, 0.8))
        ellipse(ex, ey, ew, eh, (240, 238, 235))
        ellipse(ex, ey, eh, eh, (45, 32, 25))
        brow = ey - eh * 2.95
        draw.line([ex - ew * 1.3, brow, ex + ew * 1.3, brow], fill=shade(hair, 0.8), width=int(eh * 0.7))
    nose = y + h * 0.314
    draw.polygon([(x, y - h * 0.1), (x - w * 0.15, nose), (x + w * 0.15, nose)], fill=shade(skin, 0.95))
    ellipse(x, nose, w * 0.15, h * 0.05, shade(skin, 0.75))
    mouth = y + h * 0.58
    ellipse(x, mouth, w * 0.35, h * 0.07, lips)
    draw.line([x - w * 0.315, mouth, x + w * 0.315, mouth], fill=shade(lips, 0.5), width=int(h * 0.021))
    return np.asarray(image.resize((side, side), Image.LANCZOS))


def pattern(width, height):
    row, column = np.mgrid[:height, :width].astype(np.int64)
    planes = [(column * column + 3 * row * row + column * row * factor) // 16 % 256 for factor in (1, 2, 3)]
    return np.stack(planes, -1).astype(np.uint8)


def beside(*pictures):
    return np.concatenate(pictures, 1)


def pictures():
    drawn = face()
    yield "face", drawn
    yield "faces", beside(drawn, drawn[:, ::-1])  # wide
    yield "tall", np.concatenate([pattern(96, 60), drawn, pattern(96, 40)], 0)
    yield "large", np.asarray(Image.fromarray(drawn).resize((420, 420), Image.BICUBIC))  # is scaled down
    yield "pattern", pattern(70, 50)
    yield "black", np.zeros((16, 16, 3), np.uint8)


def preprocess(pixels):
    height, width, _ = pixels.shape
    longest = max(width, height)
    square = np.zeros((longest, longest, 3), np.uint8)
    square[:height, :width] = pixels
    image = torch.from_numpy(square).permute(2, 0, 1)[None].float()
    image = torch.nn.functional.interpolate(image, (SIDE, SIDE), mode="bilinear", align_corners=False)
    return (image / 255).numpy()


def overlap(one, other):
    shared = [max(0, min(one[a] + one[a + 2], other[a] + other[a + 2]) - max(one[a], other[a])) for a in (0, 1)]
    both = shared[0] * shared[1]
    return both / (one[2] * one[3] + other[2] * other[3] - both)


def found(output, scale):
    result = []
    for label, scores in enumerate(output[4:]):
        kept = []
        for place in np.argsort(-scores, kind="stable"):
            if scores[place] < MIN_SCORE:
                break
            x, y, width, height = output[:4, place] * scale
            box = [x - width / 2, y - height / 2, width, height]
            if all(overlap(box, other) <= SAME_THING for other in kept):
                kept.append(box)
                result.append([label, scores[place], *box])
    result.sort(key=lambda row: -row[1])
    return np.array(result, np.float32).reshape(-1, 6)


def write_kinds(path):
    """A file with the tensors that the reader's tests know from other formats."""

    def counted(name, kind, *shape):
        return onnx.numpy_helper.from_array(np.arange(np.prod(shape, dtype=int), dtype=kind).reshape(shape), name)

    upper_halves = (np.arange(24, dtype=np.float32).view(np.uint32) >> 16).astype(np.uint16)
    bf16 = onnx.helper.make_tensor("bf16", onnx.TensorProto.BFLOAT16, [24], upper_halves.tobytes(), raw=True)
    floats = [("plain", (2, 3, 4)), ("transposed", (6, 4)), ("weight", (2, 3)), ("bias", (2,)), ("scalar", ())]
    tensors = [counted(name, np.float32, *shape) for name, shape in floats]
    tensors += [bf16, counted("stepped", np.float16, 12), counted("integers", np.int64, 3)]
    node = onnx.helper.make_node("Add", ["plain", "scalar"], ["sum"])
    output = onnx.helper.make_tensor_value_info("sum", onnx.TensorProto.FLOAT, [2, 3, 4])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "kinds", [], [output], tensors))
    onnx.helper.set_model_props(model, {"names": "{0: 'CAT'}", "imgsz": "[32, 32]"})
    path.write_bytes(model.SerializeToString())


def main():
    model, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    write_kinds(pathlib.Path(sys.argv[3]) / "kinds.onnx")
    folder.mkdir(parents=True, exist_ok=True)
    session = onnxruntime.InferenceSession(model)
    values = {}
    for name, pixels in pictures():
        (output,) = session.run(None, {"images": preprocess(pixels)})
        values[f"{name}.pixels"] = np.ascontiguousarray(pixels)
        values[f"{name}.output"] = np.ascontiguousarray(output[0, :, ::EVERY])
        values[f"{name}.found"] = found(output[0], max(pixels.shape[:2]) / SIDE)
        print(name, values[f"{name}.found"].round(3).tolist())
    save_file(values, folder / "io.safetensors")
    Image.fromarray(face()).save(folder / "face.png", optimize=True)


main()
