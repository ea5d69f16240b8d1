<?php

namespace App;

use Greeting\Greeting;

/** Answers by path, keeps a counter in var/ and compiled code in var/cache, as the real ones do. */
final class Kernel
{
    private string $var;

    public function __construct()
    {
        $this->var = dirname(__DIR__) . '/var';
    }

    public function warm(): void
    {
        @mkdir("$this->var/cache");
        file_put_contents("$this->var/cache/routes.php", "<?php return ['release' => '1'];");
    }

    public function answer(string $path): string
    {
        $routes = require "$this->var/cache/routes.php";
        if ($path === '/slow') {
            sleep(2);
            return 'slow';
        }
        if ($path === '/count') {
            $count = (int) @file_get_contents("$this->var/count") + 1;
            file_put_contents("$this->var/count", (string) $count);
            return (string) $count;
        }
        if ($path === '/env') {
            return json_encode([$_SERVER['COLOUR'] ?? null, getenv('COLOUR'), ini_get('memory_limit'), $_SERVER['HTTPS'] ?? null]);
        }
        return (new Greeting("release {$routes['release']}"))->text() . " at $path";
    }
}
