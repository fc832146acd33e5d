"""What `import pixelproof` offers to training loops and scripts that are not the pipeline's."""
