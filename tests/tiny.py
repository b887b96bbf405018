"""A recipe that trains in a second."""

RECIPE = """
[run]
seeds = [0]
output_dir = "runs/tiny"
device = "cpu"

[stream]
dataset = "synthetic"
num_tasks = 2

[data]
num_classes = 4
train_images = 8
test_images = 5

[backbone]
name = "untrained_vit"
options = { width = 16, depth = 1 }

[method]
name = "sdlora"
rank = 2

[optim]
name = "sgd"
lr = 0.05
momentum = 0.9
epochs = 2
batch_size = 8
"""
