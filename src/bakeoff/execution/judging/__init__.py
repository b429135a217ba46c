"""A judge of written answers: asked after the test, over the answers that were kept."""
