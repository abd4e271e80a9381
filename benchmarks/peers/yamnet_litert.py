"""The script that hubbub is compared with: 8-bit YAMNet in LiteRT, one segment at a time, one JSON line a file.

python benchmarks/peers/yamnet_litert.py MODEL.tflite CLASS_MAP.csv THREADS FILE ...
"""

import csv
import json
import sys

import numpy as np
import soundfile
import soxr
from ai_edge_litert.interpreter import Interpreter

model, class_map, threads, *files = sys.argv[1:]
with open(class_map, newline="") as table:
    labels = [row["display_name"] for row in csv.DictReader(table)]
interpreter = Interpreter(model, num_threads=int(threads))
interpreter.allocate_tensors()
wave_in, scores_out = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
for file in files:
    wave, rate = soundfile.read(file, dtype="float32", always_2d=True)
    wave = soxr.resample(wave.mean(axis=1), rate, 16_000)
    segments = max(-(-(len(wave) - 15_600) // 7_680), 0) + 1
    wave = np.pad(wave, (0, max((segments - 1) * 7_680 + 15_600 - len(wave), 0)))
    scores = []
    for start in range(0, segments * 7_680, 7_680):
        interpreter.set_tensor(wave_in, wave[None, start : start + 15_600])
        interpreter.invoke()
        scores.append(interpreter.get_tensor(scores_out)[0])
    mean = np.mean(scores, axis=0)
    best = np.argsort(mean)[:-6:-1]
    print(json.dumps({"file": file, "scores": {labels[k]: float(mean[k]) for k in best}, "segments": segments}))
