"""MNIST-C and CIFAR-10-C made from clean images, or read where they are released."""
